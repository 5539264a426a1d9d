"""How pictures become a model's input, as it is typed: ``size=256,crop=224,...``."""

from argparse import ArgumentTypeError
from typing import Any

NUMBERS = {"mean": float, "std": float, "white": float}
CHOICES = ("colors", "layout", "interpolation")
EXTENTS = ("size", "crop")
KEYS = (*EXTENTS, *NUMBERS, *CHOICES)


def preprocess(text: str, /) -> dict[str, Any]:
    """
    Return the options of an `ImageFolder`; a value may itself have commas.

    Raises
    ------
    ArgumentTypeError
        If a key is unknown or given twice, or a value is of another type.
    """
    values: dict[str, list[str]] = {}
    key = ""
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if equals:
            key = name.strip()
            if key not in KEYS:
                raise ArgumentTypeError(f"has no {key!r}; known are {', '.join(KEYS)}")
            if key in values:
                raise ArgumentTypeError(f"must have {key!r} once")
        elif not key:
            raise ArgumentTypeError(f"must be KEY=VALUE,...; got {text!r}")
        values.setdefault(key, []).append(value if equals else part)
    return {key: _value(key, parts) for key, parts in values.items()}


def _value(key: str, parts: list[str]) -> Any:
    """Return a value of the type that an option has."""
    try:
        if key in NUMBERS:
            numbers = tuple(map(float, parts))
            return numbers[0] if len(numbers) == 1 else numbers
        (text,) = parts
        if key in CHOICES:
            return text.strip()
        extents = tuple(map(int, text.lower().split("x")))
        return extents[0] if len(extents) == 1 else extents
    except ValueError as error:
        wanted = "N or HEIGHTxWIDTH" if key in EXTENTS else "numbers"
        wanted = "one word" if key in CHOICES else wanted
        raise ArgumentTypeError(
            f"{key} must be {wanted}; got {','.join(parts)!r}"
        ) from error
