"""Leaves of parameters that are the weights of products, by their names."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qcore.adapters.jax.origins import PRIMITIVES
from qcore.adapters.jax.products import Product
from qcore.adapters.jax.program import Program
from qcore.adapters.jax.recovery.flat import Flat, Step
from qcore.adapters.jax.recovery.layout import Layout
from qcore.adapters.jax.recovery.places import Place, is_own, places_of


@dataclass(frozen=True, eq=False)
class Kernel:
    """A leaf, or a part of one, that is multiplied once and used for nothing else.

    Attributes
    ----------
    step : Step
        The product.
    layout : Layout
        Its own.
    place : Place
        Which elements of which leaf.
    """

    step: Step
    layout: Layout
    place: Place

    @property
    def is_dense(self) -> bool:
        """Whether each output is made of all of a row, and of that alone."""
        return self.layout.groups == 1 and not self.layout.product.is_convolution

    def rows(self, leaf: np.ndarray) -> np.ndarray:
        """Return ``[outputs, inputs, *kernel]`` of a leaf."""
        return self.layout.by_output(leaf.reshape(-1)[self.place.elements])

    def put(self, leaf: np.ndarray, rows: np.ndarray) -> None:
        """Write such rows into a leaf."""
        leaf.reshape(-1)[self.place.elements] = self.layout.as_operand(rows)


def find_kernels(program: Program, flat: Flat, /) -> Mapping[int, list[Kernel]]:
    """Return the products of leaves, by number, loops and branches left out."""
    places, counts = places_of(program)
    found: dict[int, list[Kernel]] = {}
    for step in flat.steps:
        if step.name not in PRIMITIVES:
            continue
        for operand in range(2):
            place = places.get((step.index, operand))
            if place is None or not is_own(place.elements, counts[place.leaf]):
                continue
            if step.name != "dot_general" and operand == 0:
                continue
            layout = Layout(Product.of(step.equation), operand)
            found.setdefault(place.leaf, []).append(Kernel(step, layout, place))
    return found
