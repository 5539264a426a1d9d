"""Where products and sums use leaves of the parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.origins import PRIMITIVES
from qcore.adapters.jax.program import Program
from qcore.adapters.jax.uses import Use, uses_of

ADD = "add"


@dataclass(frozen=True, eq=False)
class Place:
    """Where an operand is that is made of a leaf of the parameters.

    Attributes
    ----------
    index : tuple of int
        Of the equation.
    operand : int
        Which of its operands.
    leaf : int
        Number of the leaf.
    elements : array
        int32, of the shape of the operand: which element of the leaf is where.
    """

    index: Index
    operand: int
    leaf: int
    elements: np.ndarray


Places = Mapping[tuple[Index, int], Place]
"""By the index of an equation and its operand."""


def places_of(program: Program, /) -> tuple[Places, Mapping[int, np.ndarray]]:
    """Return the operands of products and sums that are leaves, rounds of loops aside.

    And for each leaf how many operands, and others, each element is in.
    """
    shapes = weight_shapes(program)
    uses = uses_of(program.closed.jaxpr, shapes, PRIMITIVES | {ADD})
    places = {
        (use.index, use.operand): Place(
            use.index, use.operand, use.part.leaf, use.part.elements
        )
        for use in uses
        if use.index is not None and not use.part.rounds
    }
    return places, _counts(uses, shapes)


def weight_shapes(program: Program, /) -> list[tuple[int, ...] | None]:
    """Return the shapes of the leaves that are weights in floats."""
    return [
        tuple(leaf.shape) if held and jnp.issubdtype(leaf.dtype, jnp.floating) else None
        for leaf, held in zip(program.leaves, program.is_weight, strict=True)
    ]


def _counts(uses: Sequence[Use], shapes: Sequence[Any]) -> Mapping[int, np.ndarray]:
    """Return for each leaf how many operands, and others, each element is in."""
    counts = {
        number: np.zeros(int(np.prod(shape, dtype=np.int64)), np.int32)
        for number, shape in enumerate(shapes)
        if shape is not None
    }
    for use in uses:
        held = np.zeros_like(counts[use.part.leaf])
        held[use.part.elements] = 1
        counts[use.part.leaf] += held
    return counts


def is_own(elements: np.ndarray, counts: np.ndarray) -> bool:
    """Return whether elements of a leaf are used here, once each, and nowhere else."""
    here = np.bincount(elements.reshape(-1), minlength=counts.size)
    return bool(((here <= 1) & ((counts == 1) | (here == 0))).all())
