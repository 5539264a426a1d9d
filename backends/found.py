"""Whether a module can be imported, told without importing it."""

from importlib.util import find_spec


def is_found(name: str, /) -> bool:
    """Return whether the module called `name` is installed."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # nor is the package it belongs to
        return False
