"""Options that several methods take, checked alike."""

from math import isinf


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
