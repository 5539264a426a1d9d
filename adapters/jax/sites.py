"""The places of a JAX program where tensors can be quantized, and their names."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import jax
from jax.extend import core

from qcore.adapters.jax.calls import bodies_of
from qcore.adapters.jax.interpreter import Index, equations_of

Known = TypeVar("Known")
"""What is known of the inputs of a program."""

PRIMITIVES = frozenset({"dot_general", "conv_general_dilated"})
"""Whose operands are quantized."""

OPERANDS = ("lhs", "rhs")

LAYOUT = frozenset(
    [
        "broadcast_in_dim",
        "convert_element_type",
        "copy",
        "dynamic_slice",
        "expand_dims",
        "gather",
        "pbroadcast",
        "pcast",
        "pvary",
        "reshape",
        "reshard",
        "rev",
        "sharding_constraint",
        "slice",
        "squeeze",
        "transpose",
    ]
)
"""What may be done to weights, which they remain."""


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
        Its axes that are axes of the equation's result too, batch axes left out.
    """

    name: str
    index: Index
    operand: int
    shape: tuple[int, ...]
    is_weight: bool
    output_axes: tuple[int, ...]


def sites(f: Callable[..., Any], /, *, weights: Any = 0) -> Callable[..., list[Site]]:
    """
    Return a function that lists the sites of a call of `f`.

    Parameters
    ----------
    f : callable
        Traceable by JAX.
    weights : int, tuple of int or None, optional
        Positions of the arguments that are weights. Constants that `f` closes over are
        weights, too.

    Returns
    -------
    callable
        Takes the arguments of `f`, or their shapes (`jax.ShapeDtypeStruct`), and gives
        a list of `Site` in the order of the program. Nothing is computed.
    """

    def listed(*args: Any, **kwargs: Any) -> list[Site]:
        program = jax.make_jaxpr(f)(*args, **kwargs)
        return sites_of(program, weight_mask(weights, args, kwargs))

    return listed


def weight_mask(
    weights: Any, args: tuple[Any, ...], kwargs: dict[str, Any], /
) -> list[bool]:
    """Return, for each leaf of the arguments, whether it is one of weights."""
    chosen = () if weights is None else weights
    chosen = (chosen,) if isinstance(chosen, int) else tuple(chosen)
    wrong = [number for number in chosen if not -len(args) <= number < len(args)]
    if wrong and chosen != (0,):
        raise ValueError(
            f"`weights` must be positions of {len(args)} arguments; got {wrong}."
        )
    held = {number % len(args) for number in chosen if args}
    mask = [
        number in held for number, arg in enumerate(args) for _ in jax.tree.leaves(arg)
    ]
    return [*mask, *(False for _ in jax.tree.leaves(kwargs))]


def sites_of(program: core.ClosedJaxpr, is_weight: list[bool], /) -> list[Site]:
    """Return the sites of a program, whose inputs are partly weights."""
    weights = _weight_operands(program.jaxpr, is_weight)
    counts: Counter[str] = Counter()
    found = []
    for index, scope, equation in equations_of(program.jaxpr, PRIMITIVES):
        name = f"{scope}/" * bool(scope) + equation.primitive.name
        number = counts[name]
        counts[name] += 1
        for operand, side in enumerate(OPERANDS):
            found.append(
                Site(
                    f"{name}:{number}.{side}",
                    index,
                    operand,
                    _shape(equation, operand),
                    (index, operand) in weights,
                    _output_axes(equation, operand),
                )
            )
    return found


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


def _weight_operands(
    jaxpr: core.Jaxpr, is_weight: list[bool], index: Index = ()
) -> set[tuple[Index, int]]:
    """Return index and operand of what is made of weights alone."""
    known = dict(zip(jaxpr.invars, is_weight, strict=True))
    known.update(dict.fromkeys(jaxpr.constvars, True))

    def holds(atom: Any) -> bool:
        return not isinstance(atom, core.Literal) and known.get(atom, False)

    found = set()
    for number, equation in enumerate(jaxpr.eqns):
        here = (*index, number)
        given = [holds(atom) for atom in equation.invars]
        name = equation.primitive.name
        if name in PRIMITIVES:
            found |= {(here, i) for i in range(2) if given[i]}
        elif name in LAYOUT:
            known[equation.outvars[0]] = given[0]
        else:
            for part, (body, inputs) in enumerate(bodies_with(equation, given, False)):
                found |= _weight_operands(body, inputs, (*here, part))
    return found


def bodies_with(
    equation: core.JaxprEqn, given: list[Known], unknown: Known, /
) -> list[tuple[core.Jaxpr, list[Known]]]:
    """Return the programs inside of an equation, each with what its inputs are.

    `unknown` is said of what a loop carries.
    """
    name = equation.primitive.name
    bodies = bodies_of(equation)
    if name == "while":
        first = equation.params["cond_nconsts"]
        last = first + equation.params["body_nconsts"]
        given = [*given[first:last], *(unknown for _ in given[last:])]
    elif name == "cond":
        given = given[1:]
    elif name == "scan":
        first = equation.params["num_consts"]
        last = first + equation.params["num_carry"]
        given = [*given[:first], *(unknown for _ in given[first:last]), *given[last:]]
    return [(body.jaxpr, given) for body in bodies]
