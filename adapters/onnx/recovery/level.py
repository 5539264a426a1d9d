"""What is done about the errors of rounding, given what was asked for."""

from collections.abc import Mapping
from typing import Any

from qcore.adapters.onnx.formats import Formats
from qcore.adapters.recovery_levels import LEVELS, Level
from qcore.errors import QuantError, nearest


def choose_level(asked: str | None, given: Any, formats: Formats) -> Level:
    """
    Return what is done, given what was asked for and the statistics or data.

    Raises
    ------
    QuantError
        If that is unknown, or would need data that are not there.
    """
    is_data = not (given is None or isinstance(given, Mapping))
    able = is_data and not (formats.fake or formats.target.mode == "dynamic")
    if asked is None:
        return "full" if able else "none"
    for level in LEVELS:
        if level == asked:
            break
    else:
        raise QuantError(
            f"`recover` must be known; got {asked!r}: {nearest(asked, LEVELS)}"
        )
    if level != "none" and not is_data:
        raise QuantError(
            f"`recover` must be 'none' without data to run the model on; got {asked!r}."
        )
    if level != "none" and not able:
        raise QuantError(
            "`recover` must be 'none' where scales of activations are found when the "
            f"model runs, or no codes are held; got {asked!r}."
        )
    return level
