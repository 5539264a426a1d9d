"""Samples that the user's own code gives."""

from collections.abc import Iterator
from typing import Any

from qcore.adapters.cli.errors import BadInputError
from qcore.adapters.cli.own_code import find_function, raised

MUST = "give samples"


def read(named: str, /) -> Any:
    """
    Return the samples, or their file, that a function gives.

    Parameters
    ----------
    named : str
        ``module:function``; the module is looked for in the current folder, too.

    Raises
    ------
    BadInputError
        If there is no such function, it cannot be called without arguments, or it or,
        later, its samples raise anything.
    """
    give = find_function("--reader", named, MUST)
    try:
        data = give()
    except Exception as error:  # code of the user's, which may raise anything
        raise _told(named, error) from error
    is_iterated = hasattr(data, "__iter__") and not isinstance(data, str | dict)
    return _samples(named, data) if is_iterated else data


def _samples(named: str, data: Any) -> Iterator[Any]:
    try:
        yield from data
    except Exception as error:
        raise _told(named, error) from error


def _told(named: str, error: Exception) -> BadInputError:
    return raised("--reader", named, MUST, error)
