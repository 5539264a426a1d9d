"""Parameters held as codes and scales."""

from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from qcore import QParams, QuantSpec, qparams_from_data
from qcore.adapters.jax.arguments import check_names
from qcore.adapters.jax.given import in_jax
from qcore.adapters.jax.quantized_array import QuantizedArray
from qcore.errors import NonFiniteError, nearest

Rule = QParams | QuantSpec


def quantize_params(params: Any, qparams: Any, /) -> Any:
    """
    Return parameters with codes and scales in the place of weights.

    Parameters
    ----------
    params : pytree of array
        Traced; floating-point where it is quantized.
    qparams : mapping or QuantSpec
        From names of leaves, such as ``"layers/0/kernel"``, or patterns of them as in a
        shell, to `QParams` or a `QuantSpec`, which takes the range of the values. The
        first that matches is taken, a name before patterns; other leaves stay. A spec
        alone is for all floating-point leaves of two axes and more, so that biases and
        the like stay. `weight_qparams` has the scales that a function uses.

    Returns
    -------
    pytree
        Of the same structure, `QuantizedArray` in the place of each such leaf. It can
        be given to compiled functions and saved as any pytree; `dequantize` is its
        inverse.

    Raises
    ------
    ValueError, TypeError
        If a name or pattern matches no leaf, scales do not fit their leaf, a leaf is
        not floating-point, or two that a rule is for have one name: names it.
    """
    if isinstance(qparams, QParams) or not isinstance(qparams, QuantSpec | Mapping):
        raise TypeError(
            "`qparams` must be a QuantSpec, or a mapping from names of leaves to "
            f"QParams or QuantSpec; got {type(qparams).__name__}."
        )
    if isinstance(qparams, Mapping):
        check_names(qparams, "`qparams`", "names of leaves")
        for name, rule in qparams.items():
            if not isinstance(rule, Rule):
                raise TypeError(
                    f"`qparams` must hold QParams or QuantSpec; got "
                    f"{type(rule).__name__} for {name!r}."
                )
    leaves, tree = jax.tree_util.tree_flatten_with_path(params, is_leaf=is_quantized)
    chosen: list[Rule | None]
    named = [(leaf_name(path), leaf) for path, leaf in leaves]
    if isinstance(qparams, QuantSpec):
        chosen = [qparams if _is_matrix(leaf) else None for _, leaf in named]
    else:
        chosen = list(_chosen([name for name, _ in named], qparams))
    found = [
        leaf if rule is None else _quantized(name, leaf, rule)
        for (name, leaf), rule in zip(named, chosen, strict=True)
    ]
    return jax.tree.unflatten(tree, found)


def dequantize(tree: Any, /) -> Any:
    """
    Return parameters as arrays of floating-point numbers again.

    Parameters
    ----------
    tree : pytree
        As `quantize_params` returns it. Traced.

    Returns
    -------
    pytree
        Each `QuantizedArray` is an array of the shape and dtype that was quantized;
        other leaves stay. In a compiled function XLA fuses this with what uses it, such
        as an embedding's lookup; on CPUs not with products and sums, which are those of
        a library: there one fusion makes the array of the codes.
    """
    return jax.tree.map(
        lambda leaf: leaf.dequantize() if is_quantized(leaf) else leaf,
        tree,
        is_leaf=is_quantized,
    )


def nbytes(tree: Any, /) -> int:
    """
    Return how many bytes the arrays of a pytree take.

    Parameters
    ----------
    tree : pytree
        Of arrays, random keys among them, `jax.ShapeDtypeStruct`, and `QuantizedArray`,
        whose codes, scales and zero points all count; other leaves take none.
    """
    return sum(
        prod(leaf.shape) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
        if hasattr(leaf, "dtype") and hasattr(leaf, "shape")
    )


def is_quantized(leaf: Any, /) -> bool:
    """Return whether something is a `QuantizedArray`."""
    return isinstance(leaf, QuantizedArray)


def leaf_name(path: tuple[Any, ...], /) -> str:
    """Return the name of a leaf of a pytree, such as ``"layers/0/kernel"``."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _is_matrix(leaf: Any) -> bool:
    return _is_floating(leaf) and len(leaf.shape) > 1


def _is_floating(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and bool(jnp.issubdtype(dtype, jnp.floating))


def _chosen(names: list[str], rules: Mapping[str, Rule]) -> Iterator[Rule | None]:
    """Yield what is to be done with each leaf.

    Raises
    ------
    ValueError
        If a rule is for none, or for leaves of one name.
    """
    for pattern in rules:
        if not any(name == pattern or fnmatchcase(name, pattern) for name in names):
            raise ValueError(
                "names and patterns of `qparams` must match a leaf of the parameters; "
                f"got {pattern!r}: {nearest(pattern, names)}"
            )
    counts = Counter(names)
    for name in names:
        matches = (
            rule for pattern, rule in rules.items() if fnmatchcase(name, pattern)
        )
        chosen = rules[name] if name in rules else next(matches, None)
        if chosen is not None and counts[name] > 1:
            raise ValueError(
                "leaves of the parameters must have names of their own; got "
                f"{counts[name]} of the name {name!r}."
            )
        yield chosen


def _quantized(name: str, leaf: Any, rule: Rule) -> QuantizedArray:
    if is_quantized(leaf):
        raise TypeError(f"{name} must be floating-point; it is quantized already.")
    if not _is_floating(leaf) or len(leaf.shape) == 0:
        kind = getattr(leaf, "dtype", type(leaf).__name__)
        raise TypeError(
            f"{name} must be a floating-point array of at least one axis; got {kind} "
            f"of shape {getattr(leaf, 'shape', ())}."
        )
    if isinstance(leaf, jax.ShapeDtypeStruct):
        raise TypeError(f"{name} must be an array; got the shape of one, {leaf.shape}.")
    x = jnp.asarray(leaf)
    try:
        given = (
            qparams_from_data(x, rule, xp=jnp)
            if isinstance(rule, QuantSpec)
            else in_jax(rule)
        )
        found = QuantizedArray.of(x, given)
    except ValueError as error:
        raise type(error)(f"{name}: {error}") from error
    scale = given.scale
    if not isinstance(scale, jax.core.Tracer) and not bool(jnp.isfinite(scale).all()):
        raise NonFiniteError(
            f"{name} must have finite scales; it holds NaN or infinity."
        )
    return found
