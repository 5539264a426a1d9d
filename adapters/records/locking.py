"""One process at a time, by a lock that a killed process cannot leave behind."""

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PATIENCE = 60.0
"""Seconds to wait; holding takes milliseconds."""

_PAUSE = 0.005
_LOCKLESS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}
"""What file systems without locks answer; there, processes do not wait."""


@contextmanager
def locked(path: Path, /) -> Iterator[None]:
    """
    Hold the lock of a file while the block runs.

    The lock is the system's own, on a file beside, which is removed afterwards. When a
    process dies the system lets go; the file it leaves is no lock.

    Parameters
    ----------
    path : path
        The file; it need not exist, its folder must.

    Raises
    ------
    TimeoutError
        If another process holds the lock for a minute.
    """
    lock = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + PATIENCE
    while (descriptor := _taken(lock)) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"{path} must be free to be changed; another process has held {lock} "
                f"for {PATIENCE:g} seconds."
            )
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        if sys.platform != "win32":  # which keeps files that are open
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def _taken(lock: Path) -> int | None:
    """Return the descriptor of a lock file that is ours now, or None."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed the file, and others made a new one.
        if os.path.samestat(os.fstat(descriptor), lock.stat()):
            return descriptor
    except (BlockingIOError, PermissionError, FileNotFoundError):
        pass
    except OSError as error:
        if error.errno in _LOCKLESS:
            return descriptor
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
