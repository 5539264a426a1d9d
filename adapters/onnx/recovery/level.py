"""What is done about the errors of rounding, given what was asked for."""

from qcore.adapters.onnx.formats import Formats
from qcore.adapters.recovery_levels import LEVELS, Level
from qcore.errors import QuantError, nearest


def known_level(asked: str) -> Level:
    """Return what was asked for; raise QuantError if there is no such thing."""
    for level in LEVELS:
        if level == asked:
            return level
    raise QuantError(
        f"`recover` must be known; got {asked!r}: {nearest(asked, LEVELS)}"
    )


def choose_level(asked: str | None, formats: Formats, *, has_data: bool) -> Level:
    """
    Return what is done, given what was asked for and whether there is data for it.

    Raises
    ------
    QuantError
        If that is unknown, or cannot be.
    """
    able = has_data and not (formats.fake or formats.target.mode == "dynamic")
    if asked is None:
        return "full" if able else "none"
    level = known_level(asked)
    if level != "none" and not has_data:
        raise QuantError(
            f"`recover` must be 'none' without data to run the model on; got {asked!r}."
        )
    if level != "none" and not able:
        raise QuantError(
            "`recover` must be 'none' where scales of activations are found when the "
            f"model runs, or no codes are held; got {asked!r}."
        )
    return level
