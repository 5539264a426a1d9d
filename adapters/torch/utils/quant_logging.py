"""Undo what libraries do to the root logger."""

import logging


def reset_logger_handler() -> None:
    """Remove all handlers of the root logger, as for programs that set up their own."""
    root = logging.getLogger()
    for handler in tuple(root.handlers):
        root.removeHandler(handler)
