"""A quantized JAX function as a StableHLO program."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

from qcore import QParams
from qcore.adapters.given_path import path_to_write
from qcore.adapters.jax.calls import Closed
from qcore.adapters.jax.exported_call import ExportedCall, exported_call
from qcore.adapters.jax.folding import folded
from qcore.adapters.jax.integer_dot import QuantizedDot, check_quantized_dot
from qcore.adapters.jax.plans import by_index
from qcore.adapters.jax.program import is_array
from qcore.adapters.jax.rounding import Rounding
from qcore.files import written_atomically
from qcore.statistics import Statistics


def export(
    f: Callable[..., Any],
    qparams: Mapping[str, QParams | Statistics] | None,
    args: tuple[Any, ...],
    config: Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    quantized_dot: QuantizedDot = "int8",
    platforms: Sequence[str] | None = None,
    path: str | os.PathLike[str] | None = None,
) -> jax_export.Exported:
    """
    Return what `fake_quant` computes as a StableHLO program, weights in it.

    Products of codes are integer `dot_general` and `convolution`; the weights that they
    alone use are stored as integers.

    Parameters
    ----------
    f : callable
        As of `fake_quant`.
    qparams : mapping or None
        As of `fake_quant`.
    args : tuple
        Arguments of `f`: those that are weights become constants of the program and
        must be arrays; of the others, which the program takes, shapes
        (`jax.ShapeDtypeStruct`) are enough.
    config
        As of `fake_quant`; says which arguments are weights.
    kwargs : mapping, optional
        Arguments of `f` by name.
    quantized_dot : bool or "int8", optional
        As of `fake_quant`; false keeps products of floating-point numbers.
    platforms : sequence of str, optional
        Such as ``["cpu", "cuda"]``; by default that of this process.
    path : path, optional
        A file that the serialized program is written to, for `jax.export.deserialize`.
        It is the old or the new one, never a part. The package flatbuffers writes it.

    Returns
    -------
    jax.export.Exported
        Its ``call`` takes the arguments of `f` that hold arrays and are no weights, in
        their order, None in the place of what is no array in them. ``mlir_module()``
        is the text of the program.

    Raises
    ------
    QuantError
        If static sites have no qparams, weights are shapes, results are neither arrays
        nor numbers, or the path is a folder or lies in none that exists. Nothing is
        written then.
    ValueError, TypeError
        As `fake_quant`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> weight = jnp.eye(4)
    >>> rules = {"activation": {"dynamic": True}, "weight": {}}
    >>> program = export(lambda w, x: x @ w, {}, (weight, weight[:2]), rules)
    >>> "stablehlo.dot_general" in program.mlir_module()
    True
    >>> program.call(weight[:2]).shape
    (2, 4)
    """
    check_quantized_dot(quantized_dot)
    target = None if path is None else path_to_write(path)
    if isinstance(platforms, str) or not isinstance(platforms, Sequence | None):
        raise TypeError(
            f"`platforms` must be a sequence of names, or None; got {platforms!r}."
        )
    call = exported_call(f, qparams, args, config, kwargs)
    found, program = by_index(call.plans), call.program
    visitor = Rounding(found, call.qparams, quantized_dot)

    def quantized(*leaves: Any) -> list[jax.Array]:
        whole = replace(program, leaves=list(leaves))
        result, _ = whole.run("fake_quant", frozenset(found), visitor, None)
        return [x for x in jax.tree.leaves(result) if isinstance(x, jax.Array)]

    closed = jax.make_jaxpr(quantized)(*program.leaves)
    rounded = Closed(closed.jaxpr, list(map(jnp.asarray, closed.consts)))

    def weightless(*args: Any, **kwargs: Any) -> Any:
        given = iter(jax.tree.leaves((args, kwargs)))
        leaves = [
            jnp.asarray(leaf) if is_weight else next(given)
            for leaf, is_weight in zip(program.leaves, program.is_weight, strict=True)
        ]
        return program.restored(folded(rounded, leaves))

    kept_args, kept_kwargs = _taken(call)
    exporting = jax_export.export(jax.jit(weightless), platforms=platforms)
    exported = exporting(*kept_args, **kept_kwargs)
    if target is not None:
        content = exported.serialize()
        with written_atomically(target) as file:
            file.write(content)
    return exported


def _taken(call: ExportedCall) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments that hold arrays and no weights, as shapes."""
    mask = iter(call.program.is_weight)
    kept: dict[Any, Any] = {}
    for name, argument in [*enumerate(call.args), *call.kwargs.items()]:
        leaves = jax.tree.leaves(argument)
        is_weight = [next(mask) for leaf in leaves if is_array(leaf)]
        if is_weight and not any(is_weight):
            kept[name] = jax.tree.map(_shape, argument)
    positional = [
        kept.pop(number) for number in range(len(call.args)) if number in kept
    ]
    return positional, kept


def _shape(leaf: Any) -> Any:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) if is_array(leaf) else None
