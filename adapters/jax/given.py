"""Statistics and qparams as users have them: by site, of any library, from files."""

from typing import Any

import jax.numpy as jnp

from qcore import QParams
from qcore.adapters.jax.arguments import check_names
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
    check_names(given, f"`{what}`", "names of sites")
    for name, one in given.items():
        if not isinstance(one, QParams | Statistics):
            raise TypeError(
                f"`{what}` must hold QParams or statistics; got {type(one).__name__} "
                f"for {name!r}."
            )
    return {name: in_jax(one) for name, one in given.items()}


def in_jax(one: Any, /) -> Any:
    """Return statistics or qparams of any library in arrays of JAX."""
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
