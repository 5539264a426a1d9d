"""Statistics and qparams as users have them: by site, of any library, from files."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from qcore import QParams
from qcore.libraries import library_name, namespace
from qcore.statistics import Statistics


def by_site(given: Any, what: str, /) -> dict[str, Any]:
    """
    Return what is given for sites in arrays of JAX.

    Parameters
    ----------
    given : mapping or None
        From names of sites to `QParams` or statistics.
    what : str
        The argument's name.

    Raises
    ------
    TypeError
        If it is something else; names the site.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            f"`{what}` must be a mapping from names of sites; got "
            f"{type(given).__name__}."
        )
    for name, one in given.items():
        if not isinstance(one, QParams | Statistics):
            raise TypeError(
                f"`{what}` must hold QParams or statistics; got {type(one).__name__} "
                f"for {name!r}."
            )
    return {name: _in_jax(one) for name, one in given.items()}


def _in_jax(one: QParams | Statistics) -> QParams | Statistics:
    if isinstance(one, Statistics):
        return one if library_name(one.xp) == "jax.numpy" else one.to(jnp)
    parts = (one.scale, one.zero_point, one.global_scale)
    if all(part is None or _is_of_jax(part) for part in parts):
        return one
    scale, zero_point, level = (
        None if part is None else jnp.asarray(part) for part in parts
    )
    return QParams(scale, zero_point, one.spec, level)


def _is_of_jax(x: Any) -> bool:
    return hasattr(x, "__array_namespace__") and (
        library_name(namespace(x)) == "jax.numpy"
    )
