"""Functions of the user's own, named on the command line."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from qcore.adapters.cli.errors import BadInputError


def find_function(argument: str, named: str, what: str) -> Callable[..., Any]:
    """
    Return a function.

    Parameters
    ----------
    argument : str
        That it was named with.
    named : str
        ``module:function``; the module is looked for in the current folder, too.
    what : str
        What it must do, as a part of a sentence.

    Raises
    ------
    BadInputError
        If there is no such function, or its module raises anything.
    """
    module, colon, function = named.partition(":")
    if not (module and colon and function):
        raise BadInputError(f"{argument} must be MODULE:FUNCTION; got {named!r}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), function)
    except (Exception, SystemExit) as error:  # code of the user's may raise anything
        raise raised(argument, named, what, error) from error
    if not callable(found):
        raise BadInputError(f"{argument} {named} must {what}; it is no function.")
    return found  # type: ignore[no-any-return]


def raised(argument: str, named: str, what: str, error: BaseException) -> BadInputError:
    """Return what to say of an exception in such a function or its module."""
    return BadInputError(
        f"{argument} {named} must {what}; it raises {type(error).__name__}: {error}"
    )
