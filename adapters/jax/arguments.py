"""What functions are given, checked where it comes in: one sentence if it is wrong."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from qcore import QParams


def check_function(given: Any, name: str = "f", /) -> None:
    """Raise TypeError unless something can be called."""
    if not callable(given):
        raise TypeError(f"`{name}` must be a function; got {_said(given)}.")


def check_names(given: Any, what: str, of: str, /) -> None:
    """Raise TypeError unless something is a mapping from strings."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} must be a mapping from {of}; got {_said(given)}.")
    for name in given:
        if not isinstance(name, str):
            raise TypeError(f"{what} must be a mapping from {of}; got {name!r} as one.")


def is_boolean(given: Any, /) -> bool:
    """Return whether something is an array of booleans."""
    dtype = getattr(given, "dtype", None)
    return dtype is not None and bool(jnp.issubdtype(dtype, jnp.bool_))


def check_flag(given: Any, what: str, /) -> None:
    """Raise TypeError unless something is true or false."""
    if not isinstance(given, bool):
        raise TypeError(f"{what} must be true or false; got {given!r}.")


def check_floating_array(given: Any, what: str, /) -> None:
    """Raise TypeError unless something is an array of floating-point numbers."""
    dtype = getattr(given, "dtype", None)
    if dtype is None or not hasattr(given, "ndim"):
        raise TypeError(f"{what} must be a floating-point array; got {_said(given)}.")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{what} must be a floating-point array; got {dtype}.")


def check_qparams_kind(given: Any, what: str, /) -> None:
    """Raise TypeError unless something is `QParams`."""
    if not isinstance(given, QParams):
        raise TypeError(f"{what} must be QParams; got {_said(given)}.")


def _said(given: Any) -> str:
    return "None" if given is None else type(given).__name__
