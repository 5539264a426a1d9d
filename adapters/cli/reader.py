"""Samples that the user's own code gives."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from qcore.adapters.cli.errors import BadInputError


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
    module, colon, function = named.partition(":")
    if not (module and colon and function):
        raise BadInputError(f"--reader must be MODULE:FUNCTION; got {named!r}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        data = getattr(import_module(module), function)()
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
    return BadInputError(
        f"--reader {named} must give samples; it raises {type(error).__name__}: {error}"
    )
