"""Which weights of a program can be rounded anew, and which biases are behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qcore.adapters.jax.config import Plan
from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.products import Product
from qcore.adapters.jax.program import Program
from qcore.adapters.jax.recovery.flat import Flat, Step
from qcore.adapters.jax.recovery.layout import Layout
from qcore.adapters.jax.recovery.places import ADD, Place, is_own, places_of

_SAME = frozenset(["convert_element_type", "copy", "optimization_barrier"])
"""What may be between a product and its bias."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A product of data and a weight.

    Attributes
    ----------
    plan : Plan
        Of the weight.
    data : Plan or None
        Of the other operand.
    layout : Layout
        Of the product.
    weight : Place
        The weight.
    bias : Place or None
        What is added to the product, one number for each output.
    channels : array or None
        int32 ``[outputs]``: the elements of the leaf of the bias.
    """

    plan: Plan
    data: Plan | None
    layout: Layout
    weight: Place
    bias: Place | None = None
    channels: np.ndarray | None = None

    @property
    def name(self) -> str:
        """That of the site of the weight."""
        return self.plan.site.name


def find_layers(
    program: Program, flat: Flat, plans: Sequence[Plan], /
) -> tuple[list[Layer], dict[str, str]]:
    """Return the layers, in order, and why the weights at other sites stay."""
    places, counts = places_of(program)
    steps = {step.index: step for step in flat.steps}
    by_site = {(plan.site.index, plan.site.operand): plan for plan in plans}
    found, left = [], {}
    for (index, operand), plan in by_site.items():
        if not plan.site.is_weight:
            continue
        place = places.get((index, operand))
        reason = _why_not(steps, plan, place, counts)
        if place is None or reason:
            left[plan.site.name] = reason
            continue
        layout = Layout(Product.of(steps[index].equation), operand)
        layer = Layer(plan, by_site.get((index, 1 - operand)), layout, place)
        found.append(_with_bias(layer, flat, steps[index], places, counts))
    return found, left


def _why_not(
    steps: Mapping[Index, Step],
    plan: Plan,
    place: Place | None,
    counts: Mapping[int, np.ndarray],
) -> str:
    """Return why a weight stays as it is, or nothing."""
    index, operand = plan.site.index, plan.site.operand
    if index not in steps:
        around = next(
            steps[index[:end]].name
            for end in range(1, len(index))
            if index[:end] in steps
        )
        return f"is inside of {around}, whose rounds or branches share it"
    if place is None:
        return "is made of parameters by more than another layout, or of constants"
    if not is_own(place.elements, counts[place.leaf]):
        return "is used several times"
    params = steps[index].equation.params
    if "batch_group_count" in params and (
        operand == 0 or params["batch_group_count"] > 1
    ):
        return "is that of a convolution whose batch is cut into groups, or its data"
    return ""


def _with_bias(
    layer: Layer,
    flat: Flat,
    step: Step,
    places: Mapping[Any, Place],
    counts: Mapping[int, np.ndarray],
) -> Layer:
    """Return a layer with what is added to its result, if that is a leaf of its own."""
    readers: dict[Any, list[tuple[Step, int]]] = {}
    for one in flat.steps:
        for operand, ref in enumerate(one.inputs):
            if isinstance(ref, int):
                readers.setdefault(ref, []).append((one, operand))
    (ref,) = step.outputs
    result: Any = step.equation.outvars[0].aval
    shape = tuple(result.shape)
    while len(readers.get(ref, [])) == 1 and ref not in flat.outputs:
        ((user, operand),) = readers[ref]
        if user.name == ADD:
            place = places.get((user.index, 1 - operand))
            channels = None if place is None else _channels(layer, place, shape)
            if place is None or channels is None:
                return layer
            if not is_own(channels, counts[place.leaf]):
                return layer
            return replace(layer, bias=place, channels=channels)
        if user.name not in _SAME:
            return layer
        (ref,) = user.outputs
    return layer


def _channels(layer: Layer, place: Place, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the element that is added to each output, if there is one for each."""
    axes, elements = layer.layout.result_axes, place.elements
    if elements.ndim != len(shape):
        return None
    others = tuple(a for a in range(elements.ndim) if a not in axes)
    one = elements[
        tuple(slice(0, 1) if a in others else slice(None) for a in range(elements.ndim))
    ]
    if any(one.shape[a] != shape[a] for a in axes) or (elements != one).any():
        return None
    return one.transpose((*axes, *others)).reshape(-1)
