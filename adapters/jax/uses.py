"""Where a function uses the leaves of its parameters, element by element."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jax.extend import core

from qcore.adapters.jax.calls import bound
from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.kinds import INLINE, bodies_of
from qcore.adapters.jax.origins import PRIMITIVES, bodies_with

_SAME = frozenset(
    [
        "convert_element_type",
        "copy",
        "reshard",
        "sharding_constraint",
        "optimization_barrier",
    ]
)
"""What leaves elements where they are."""

_MOVED = frozenset(
    [
        "broadcast_in_dim",
        "dynamic_slice",
        "expand_dims",
        "gather",
        "reshape",
        "rev",
        "slice",
        "split",
        "squeeze",
        "transpose",
    ]
)
"""What moves elements, or leaves some out."""


@dataclass(frozen=True)
class Part:
    """Elements of a leaf, as a value of the program.

    Attributes
    ----------
    leaf : int
        Number of the leaf.
    elements : array
        int32 ``[*rounds, *shape]``: which element of the leaf is where, in C order.
    rounds : int
        How many leading axes are rounds of loops, which see one row each.
    """

    leaf: int
    elements: np.ndarray
    rounds: int = 0


@dataclass(frozen=True)
class Use:
    """A part of a leaf where it is used.

    Attributes
    ----------
    part : Part
        Of the leaf.
    index : tuple of int or None
        Of the equation whose operand it is, one of those asked for; None where it is
        used by anything else.
    operand : int
        0 or 1.
    """

    part: Part
    index: Index | None = None
    operand: int = 0


def uses_of(
    jaxpr: core.Jaxpr,
    shapes: Sequence[tuple[int, ...] | None],
    primitives: frozenset[str] = PRIMITIVES,
    /,
) -> list[Use]:
    """
    Return the uses of the inputs of a program.

    Parameters
    ----------
    jaxpr
        The program.
    shapes : sequence of tuple of int or None
        Of each input that is of interest.
    primitives : frozenset of str, optional
        Those of the equations that are told; by default products.
    """
    inputs = [
        None if shape is None else Part(number, _numbered(shape))
        for number, shape in enumerate(shapes)
    ]
    found: list[Use] = []
    outputs = _walk(jaxpr, inputs, (), found, primitives)
    return [*found, *_otherwise(outputs)]


def _numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(np.prod(shape, dtype=np.int64), dtype=np.int32).reshape(shape)


def _otherwise(given: Sequence[Part | None]) -> Iterator[Use]:
    yield from (Use(part) for part in given if part is not None)


def _walk(
    jaxpr: core.Jaxpr,
    inputs: Sequence[Part | None],
    index: Index,
    found: list[Use],
    primitives: frozenset[str],
) -> list[Part | None]:
    """Return the outputs of a program that are parts, and add uses to `found`."""
    known = dict(zip(jaxpr.invars, inputs, strict=True))

    def part(atom: core.Var | core.Literal) -> Part | None:
        return None if isinstance(atom, core.Literal) else known.get(atom)

    for number, equation in enumerate(jaxpr.eqns):
        here, name = (*index, number), equation.primitive.name
        given = [part(atom) for atom in equation.invars]
        if not any(given):
            continue
        if name in primitives:
            found.extend(
                Use(held, here, operand)
                for operand, held in enumerate(given)
                if held is not None
            )
        elif name in _SAME:
            known.update(zip(equation.outvars, given, strict=True))
        elif name in _MOVED and _are_known(equation):
            assert given[0] is not None
            parts = _moved(equation, given[0])
            known.update(zip(equation.outvars, parts, strict=True))
        else:
            outputs = _inside(equation, given, here, found, primitives)
            known.update(zip(equation.outvars, outputs, strict=True))
    return [part(atom) for atom in jaxpr.outvars]


def _are_known(equation: core.JaxprEqn) -> bool:
    """Return whether an equation depends on nothing but the elements it moves."""
    return all(isinstance(atom, core.Literal) for atom in equation.invars[1:])


def _moved(equation: core.JaxprEqn, part: Part) -> list[Part]:
    others = [atom.val for atom in equation.invars[1:]]  # type: ignore[union-attr]

    def move(elements: Any) -> Any:
        return bound(equation, [elements, *others])

    for _ in range(part.rounds):
        move = jax.vmap(move)
    with jax.ensure_compile_time_eval():
        return [
            replace(part, elements=np.asarray(elements))
            for elements in move(part.elements)
        ]


def _inside(
    equation: core.JaxprEqn,
    given: list[Part | None],
    here: Index,
    found: list[Use],
    primitives: frozenset[str],
) -> list[Part | None]:
    """Return the outputs of an equation that may hold programs."""
    name = equation.primitive.name
    nothing: list[Part | None] = [None for _ in equation.outvars]
    bodies = bodies_of(equation)
    if not bodies or name == "shard_map":
        found.extend(_otherwise(given))
        return nothing
    seen = set()
    for number, (body, inputs) in enumerate(bodies_with(equation, given, None)):
        seen |= {id(part) for part in inputs}
        rows = _rows(equation, inputs) if name == "scan" else inputs
        outputs = _walk(body, rows, (*here, number), found, primitives)
        if name in INLINE:
            return outputs
        found.extend(_otherwise(outputs))
    found.extend(_otherwise([part for part in given if id(part) not in seen]))
    return nothing


def _rows(equation: core.JaxprEqn, inputs: list[Part | None]) -> list[Part | None]:
    """Return what a round of a loop sees of parts: a row of what it scans over."""
    first = equation.params["num_consts"] + equation.params["num_carry"]
    rows = [
        None if part is None else replace(part, rounds=part.rounds + 1)
        for part in inputs[first:]
    ]
    return [*inputs[:first], *rows]
