"""Options that several methods take, checked alike."""

from math import isinf
from typing import Any


def whole_number(name: str, value: int, least: int, most: float = float("inf")) -> int:
    """Return the value of an option that counts something.

    Raises
    ------
    ValueError
        If it is no integer, less than `least` or more than `most`.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not (is_whole and least <= value <= most):
        extent = f"of at least {least}" if isinf(most) else f"from {least} to {most}"
        raise ValueError(f"`{name}` must be an integer {extent}; got {value!r}.")
    return value


def lies_within(low: float, value: Any, high: float, /) -> bool:
    """Return whether a value is a number from `low` to `high`; text, say, is none."""
    try:
        return bool(low <= value <= high)
    except (TypeError, ValueError, RuntimeError):  # several numbers, or something else
        return False
