"""The places of a JAX program where tensors can be quantized, and their names."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jax.extend import core

from qcore.adapters.jax.arguments import check_function
from qcore.adapters.jax.interpreter import Index, equations_of
from qcore.adapters.jax.origins import PRIMITIVES, weight_operands
from qcore.adapters.jax.program import FIRST_OF_SEVERAL, check_weights, traced

OPERANDS = ("lhs", "rhs")

_FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Dtypes of operands that are quantized."""


@dataclass(frozen=True)
class Site:
    """An operand of an equation.

    Attributes
    ----------
    name : str
        Named scope, primitive, its number within the scope, and operand:
        ``"encoder/layer0/dot_general:0.lhs"``.
    index : tuple of int
        Where the equation is in the program.
    operand : int
        0 for lhs, 1 for rhs.
    shape : tuple of int
        Of the operand.
    is_weight : bool
        Whether it is made of weights alone.
    output_axes : tuple of int
        Its axes that are axes of the equation's result too, batch axes left out; of a
        convolution's weights that of output channels.
    inside : str or None
        The primitive that holds it and cannot be rebuilt, so that the site must be
        skipped, if there is one.
    """

    name: str
    index: Index
    operand: int
    shape: tuple[int, ...]
    is_weight: bool
    output_axes: tuple[int, ...]
    inside: str | None = None


def sites(
    f: Callable[..., Any], /, *, weights: Any = FIRST_OF_SEVERAL
) -> Callable[..., list[Site]]:
    """
    Return a function that lists the sites of a call of `f`.

    They are the floating-point operands of `dot_general` and `conv_general_dilated`,
    complex ones and floats of 8 bits left out.

    Parameters
    ----------
    f : callable
        Traceable by JAX. What in its arguments is no array is static.
    weights : int, str, sequence of these or None, optional
        Positions or names of the arguments that are weights; by default the first of
        those that hold arrays, if there are several. Constants that `f` closes over
        are weights, too.

    Returns
    -------
    callable
        Takes the arguments of `f`, or their shapes (`jax.ShapeDtypeStruct`), and gives
        a list of `Site` in the order of the program. Nothing is computed.

    Raises
    ------
    TypeError
        If `f` is no function, or `weights` is something else.
    ValueError
        By the function, if an argument that shall be weights is not given.
    QuantError
        By the function, if `f` is, or holds, what a transform has made.
    """
    check_function(f)
    check_weights(weights)

    def listed(*args: Any, **kwargs: Any) -> list[Site]:
        program = traced(f, weights, args, kwargs)
        return sites_of(program.closed, program.is_weight)

    return listed


def sites_of(program: core.ClosedJaxpr, is_weight: list[bool], /) -> list[Site]:
    """Return the sites of a program, whose inputs are partly weights."""
    weights = weight_operands(program.jaxpr, is_weight)
    counts: Counter[str] = Counter()
    found = []
    for place, equation in equations_of(program.jaxpr, PRIMITIVES):
        name = f"{place.scope}/" * bool(place.scope) + equation.primitive.name
        number = counts[name]
        counts[name] += 1
        for operand, side in enumerate(OPERANDS):
            if not _is_floating(equation, operand):
                continue
            found.append(
                Site(
                    f"{name}:{number}.{side}",
                    place.index,
                    operand,
                    _shape(equation, operand),
                    (place.index, operand) in weights,
                    _output_axes(equation, operand),
                    place.inside,
                )
            )
    return found


def _is_floating(equation: core.JaxprEqn, operand: int) -> bool:
    value: Any = equation.invars[operand].aval
    return jnp.dtype(value.dtype).name in _FLOATS


def _shape(equation: core.JaxprEqn, operand: int) -> tuple[int, ...]:
    value: Any = equation.invars[operand].aval
    return tuple(value.shape)


def _output_axes(equation: core.JaxprEqn, operand: int) -> tuple[int, ...]:
    params = equation.params["dimension_numbers"]
    if equation.primitive.name == "conv_general_dilated":
        specs = (params.lhs_spec, params.rhs_spec)
        return (specs[operand][0],)
    contracted, batched = params
    taken = {*contracted[operand], *batched[operand]}
    rank = len(_shape(equation, operand))
    return tuple(axis for axis in range(rank) if axis not in taken)
