"""What arguments stand for: functions of the text that was typed."""

from argparse import ArgumentTypeError
from ast import literal_eval
from collections.abc import Callable
from typing import Any


def at_least(least: int, /) -> Callable[[str], int]:
    """Return what reads whole numbers from `least` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise ArgumentTypeError(
                f"must be a whole number of at least {least}; got {text!r}"
            )
        return int(text)

    return read


def percentile(text: str, /) -> float | tuple[float, float]:
    """Return a share of values, or those of the lower and the upper end."""
    try:
        low, *high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = -1.0, []
    if len(high) > 1 or not all(0 <= p <= 100 for p in (low, *high)):
        raise ArgumentTypeError(
            f"must be a number, or LO,HI, from 0 to 100; got {text!r}"
        )
    return (low, high[0]) if high else low


def names(text: str, /) -> tuple[str, ...]:
    """Return what stands between commas."""
    return tuple(name.strip() for name in text.split(","))


def option(text: str, /) -> tuple[str, Any]:
    """Return a name and a value: a number, several with commas between, or text."""
    name, equals, value = text.partition("=")
    if not (equals and name):
        raise ArgumentTypeError(f"must be NAME=VALUE; got {text!r}")
    try:
        return name.replace("-", "_"), literal_eval(value)
    except (SyntaxError, ValueError):
        return name.replace("-", "_"), value
