"""The leaves of parameters that lose less, found in one run of all calls."""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

import jax.numpy as jnp
import numpy as np

from qcore import Gram, QParams, qparams_from_data
from qcore.adapters.jax.calls import bound
from qcore.adapters.jax.config import Plan
from qcore.adapters.jax.fake_quantize import fake_quantize
from qcore.adapters.jax.interpreter import Index, Interpreter
from qcore.adapters.jax.program import Program
from qcore.adapters.jax.recovery.flat import Flat, Step
from qcore.adapters.jax.recovery.inputs import as_float, gram_of_inputs, of_numpy
from qcore.adapters.jax.recovery.layers import Layer
from qcore.adapters.jax.recovery.means import mean_results
from qcore.adapters.jax.recovery.places import Place
from qcore.adapters.jax.recovery.rounding import recovered_weight
from qcore.adapters.jax.recovery.together import run_together
from qcore.adapters.jax.rounding import Rounding
from qcore.recovery.thinning import MOST_OUTPUTS, spacing


def new_leaves(
    programs: Sequence[Program],
    flats: Sequence[Flat],
    layers: Sequence[Layer],
    plans: Mapping[Index, Sequence[Plan]],
    qparams: Mapping[str, QParams],
    /,
) -> tuple[dict[int, np.ndarray], dict[str, QParams]]:
    """
    Return the leaves that change, by number, and the scales of the weights in them.

    Parameters
    ----------
    programs, flats : sequence
        Of each call.
    layers : sequence of Layer
        In the order of the program.
    plans : mapping
        Those of each equation.
    qparams : mapping
        By names of sites, as of `Rounding`.
    """
    inputs = [list(map(jnp.asarray, program.leaves)) for program in programs]
    by_product = {layer.weight.index: layer for layer in layers}
    every = {layer.weight.index: _every(layer, flats) for layer in layers}
    expected = mean_results(flats, inputs, by_product, every)
    counts = Counter(layer.name for layer in layers)
    repeated = {name for name, count in counts.items() if count > 1}
    work = _Work(programs[0], plans, qparams, repeated)
    by_bias = {
        layer.bias.index: layer.bias for layer in layers if layer.bias is not None
    }

    def compute(steps: list[Step], given: list[list[Any]]) -> list[list[Any]]:
        index = steps[0].index
        if (layer := by_product.get(index)) is not None:
            return work.layer(layer, steps, given, every[index], expected[index])
        if (place := by_bias.get(index)) is not None:
            for one in given:
                one[place.operand] = work.operand(place, one[place.operand])
        return [
            work.interpreter.compute(step.equation, one, None, index)[0]
            for step, one in zip(steps, given, strict=True)
        ]

    run_together(flats, inputs, compute)
    return work.leaves, work.qparams


def _every(layer: Layer, flats: Sequence[Flat]) -> int:
    """Return how far apart are the outputs to look at, along each axis."""
    shown = 0
    for flat in flats:
        (step,) = (step for step in flat.steps if step.index == layer.weight.index)
        data: Any = step.equation.invars[1 - layer.weight.operand].aval
        shown += layer.layout.shown(tuple(data.shape))
    return spacing(shown, MOST_OUTPUTS, layer.layout.window().rank)


def _mean(rows: np.ndarray, gram: Gram) -> np.ndarray:
    """Return what weights make of the mean input, float64 ``[outputs]``."""
    mean = np.asarray(gram.mean)
    split = rows.reshape(len(mean), -1, gram.features).astype(np.float64)
    found: np.ndarray = split @ mean[:, :, None]
    return found.reshape(-1)


class _Work:
    """What has been done so far.

    Attributes
    ----------
    leaves : dict
        Those that changed, by number.
    qparams : dict
        Of weights, by names of sites.
    interpreter : Interpreter
        For what is no layer.
    """

    def __init__(
        self,
        program: Program,
        plans: Mapping[Index, Sequence[Plan]],
        given: Mapping[str, QParams],
        repeated: Set[str],
    ) -> None:
        self.program, self.given, self.repeated = program, given, repeated
        self.leaves: dict[int, np.ndarray] = {}
        self.qparams: dict[str, QParams] = {}
        self.interpreter = Interpreter(frozenset(plans), Rounding(plans, given, False))

    def layer(
        self,
        layer: Layer,
        steps: Sequence[Step],
        given: Sequence[list[Any]],
        every: int,
        expected: np.ndarray,
    ) -> list[list[Any]]:
        """Round a weight and correct a bias; return the products of all calls."""
        operand, layout = layer.weight.operand, layer.layout
        fixed = None if layer.data is None else self.given.get(layer.data.site.name)
        inputs = [self._data(layer, one[1 - operand]) for one in given]
        weight = given[0][operand]
        qparams = self.given.get(layer.name)
        # No scale can be told of a site that sees another weight in each round.
        is_told = qparams is not None or layer.name not in self.repeated
        if qparams is None:
            qparams = qparams_from_data(weight, layer.plan.spec, xp=jnp)
        if is_told:
            self.qparams[layer.name] = qparams
        gram = gram_of_inputs(layout, inputs, fixed, every)
        rows = recovered_weight(
            layout,
            as_float(weight),
            of_numpy(qparams),
            gram,
            center=layer.bias is not None,
            keeps_ends=not is_told,
        )
        self._put(layer.weight, layout.as_operand(rows))
        if layer.bias is not None:
            if layout.is_of_tokens:
                # The mean of all errors is that of a few tokens with huge numbers: it
                # would harm all others. What the weights err is everybody's.
                expected = _mean(layout.by_output(as_float(weight)), gram)
            self._shift(layer, expected - _mean(rows, gram))
        new = self.operand(layer.weight, weight)
        outputs = []
        for step, x in zip(steps, inputs, strict=True):
            pair = [x, new] if operand else [new, x]
            outputs.append(bound(step.equation, pair))
        return outputs

    def operand(self, place: Place, like: Any) -> Any:
        """Return an operand that is made of a leaf that changed."""
        values = self.leaves[place.leaf].reshape(-1)[place.elements]
        return jnp.asarray(values, like.dtype)

    def _data(self, layer: Layer, x: Any) -> Any:
        """Return data as it is multiplied."""
        if layer.data is None:
            return x
        qparams = self.given.get(layer.data.site.name)
        if qparams is None:
            qparams = qparams_from_data(x, layer.data.spec, xp=jnp)
        return fake_quantize(x, qparams)

    def _shift(self, layer: Layer, by: np.ndarray) -> None:
        assert layer.bias is not None
        leaf = self._leaf(layer.bias.leaf)
        flat = leaf.reshape(-1)
        new = flat[layer.channels].astype(np.float64) + by
        flat[layer.channels] = new.astype(leaf.dtype)

    def _put(self, place: Place, values: np.ndarray) -> None:
        leaf = self._leaf(place.leaf)
        leaf.reshape(-1)[place.elements] = values.astype(leaf.dtype)

    def _leaf(self, number: int) -> np.ndarray:
        """Return a leaf to write into."""
        if number not in self.leaves:
            leaf = np.array(self.program.leaves[number], order="C")
            self.leaves[number] = leaf
        return self.leaves[number]
