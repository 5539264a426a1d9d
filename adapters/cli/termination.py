"""End in order when asked to: temporary files go, nothing is half-written."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which service managers and schedulers stop a process."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` in the block at SIGTERM, unless that is handled already."""
    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if not is_ours:  # only the main thread may say what a signal does
        yield
        return
    signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _raise(*_: object) -> None:
    raise Terminated
