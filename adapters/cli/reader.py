"""Samples that the user's own code gives."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from qcore.adapters.cli.errors import BadInputError


def read(named: str, /) -> Any:
    """
    Return what a function gives, named as ``module:function``.

    Its module is looked for in the current folder, too.

    Raises
    ------
    BadInputError
        If there is no such function, or it cannot be called without arguments.
    """
    module, colon, function = named.partition(":")
    if not (module and colon and function):
        raise BadInputError(f"--reader must be MODULE:FUNCTION; got {named!r}.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = getattr(import_module(module), function)
        data = found()
    except Exception as error:  # code of the user's, which may raise anything
        raise BadInputError(
            f"--reader {named} must give samples; it raises {type(error).__name__}: "
            f"{error}"
        ) from error
    return data
