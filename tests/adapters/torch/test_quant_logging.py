import logging

import pytest

from qcore.adapters.torch import utils
from qcore.adapters.torch.utils.quant_logging import reset_logger_handler


@pytest.fixture
def root():
    """The root logger, whose handlers are put back."""
    logger = logging.getLogger()
    before = list(logger.handlers)
    yield logger
    logger.handlers[:] = before


def test_s3_90_all_handlers_of_the_root_logger_are_removed(root):
    for _ in range(3):
        root.addHandler(logging.NullHandler())
    reset_logger_handler()
    assert root.handlers == []
    reset_logger_handler()  # of none as well


@pytest.mark.usefixtures("root")
def test_s3_90_other_loggers_keep_theirs():
    logger, handler = logging.getLogger("somebody"), logging.NullHandler()
    logger.addHandler(handler)
    utils.quant_logging.reset_logger_handler()
    assert logger.handlers == [handler]
    logger.removeHandler(handler)
