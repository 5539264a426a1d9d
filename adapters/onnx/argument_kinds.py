"""Kinds of arguments that Python takes for one another, such as flags and numbers."""

from numbers import Integral

import numpy as np


def check_flags(**flags: object) -> None:
    """Raise TypeError where a flag is anything but true or false, by its name.

    Words such as ``"no"`` are true to Python.
    """
    for name, given in flags.items():
        if not isinstance(given, bool | np.bool_):
            raise TypeError(f"`{name}` must be True or False; got {given!r}.")


def is_whole(given: object) -> bool:
    """Return whether something is a whole number, of Python or NumPy, and no flag."""
    return isinstance(given, Integral) and not isinstance(given, bool)
