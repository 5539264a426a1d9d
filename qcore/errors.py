"""The exceptions qcore raises on purpose.

Each is also the builtin that the toolkits qcore replaces raise in the same place, so
code ported from them keeps its ``except`` clauses.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class QuantError(ValueError):
    """Base of the errors that concern quantization."""


class NonFiniteError(QuantError, RuntimeError):
    """The data held NaN or infinity where a range was asked for."""


class NoDataError(QuantError, RuntimeError):
    """A range was asked of statistics that have seen no value."""


class UnknownMethodError(QuantError, TypeError):
    """No calibration method has that name."""


class UnknownFormatError(QuantError, TypeError):
    """No number format has that name."""


class StatisticsError(QuantError, TypeError):
    """A method was given statistics of a kind it cannot use."""


class FileFormatError(QuantError):
    """A file is not what its reader expects."""


class ShardError(QuantError, RuntimeError):
    """A part of a run on many machines is missing, counted already, or was lost."""


def nearest(name: object, known: Iterable[str]) -> str:
    """Return the end of an error sentence: the nearest known name, else all of them."""
    names = sorted(known)
    close = get_close_matches(str(name), names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}."
