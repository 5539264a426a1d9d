"""Arrays whose types say how they are spread: axes of a mesh that are explicit.

Operations that do not say how their results are spread are refused on them, or fail
without a mesh around. What is counted and rounded leaves that to the compiler.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from qcore.libraries import is_concrete


def spread_by_compiler(
    function: Callable[..., Any], like: jax.Array | None, /, *args: Any
) -> Any:
    """
    Return what a function gives whose arrays the compiler spreads.

    Parameters
    ----------
    function : callable
        Of arrays and pytrees of them.
    like : array or None
        One that the results are spread as; without, each device has them whole.
    *args
        What the function is given. Traced.
    """
    first = _first_explicit(args)
    if first is None:
        return function(*args)
    mesh = _sharding(first).mesh
    spec = PartitionSpec() if like is None else _sharding(like).spec
    automatic = jax.sharding.auto_axes(
        function, axes=_explicit(mesh), out_sharding=NamedSharding(mesh, spec)
    )
    return automatic(*args)


def on_every_device(tree: Any, arguments: Any, /) -> Any:
    """Return arrays whole on each device of the mesh of arguments, if it is explicit.

    Loops and branches, which make such arrays of them, take nothing else.
    """
    first: Any = _first_explicit(arguments)
    if first is None:
        return tree
    if is_concrete(first, jnp):
        return jax.device_put(tree, NamedSharding(first.sharding.mesh, PartitionSpec()))
    return jax.sharding.reshard(
        tree, NamedSharding(_sharding(first).mesh, PartitionSpec())
    )


def off_mesh(function: Callable[..., Any], /, *args: Any) -> Any:
    """
    Return what a function gives, computed on a single device if values are known.

    Parameters
    ----------
    function : callable
        Of arrays and pytrees of them, to such as each device has whole.
    *args
        What the function is given. Traced or not; if not, results are on no mesh, so
        that they go with arrays of any.
    """
    if _first_explicit(args) is None:
        return function(*args)
    if not all(is_concrete(x, jnp) for x in jax.tree.leaves(args)):
        return spread_by_compiler(function, None, *args)
    with jax.enable_x64(True):  # counts have 64 bits
        args = jax.tree.map(jnp.asarray, jax.device_get(args))
    return function(*args)


def _first_explicit(tree: Any) -> jax.Array | None:
    """Return the first array whose type says how it is spread."""
    for x in jax.tree.leaves(tree):
        if isinstance(x, jax.Array) and _explicit(_sharding(x).mesh):
            return x
    return None


def _sharding(x: jax.Array) -> Any:
    kind: Any = jax.typeof(x)
    return kind.sharding


def _explicit(mesh: Any) -> tuple[str, ...]:
    kinds = zip(mesh.axis_names, mesh.axis_types, strict=True)
    return tuple(name for name, kind in kinds if kind is AxisType.Explicit)
