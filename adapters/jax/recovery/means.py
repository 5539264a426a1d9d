"""What the layers of the float function give on the average."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from qcore import Moments, PerChannel
from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.recovery.flat import Flat, Step
from qcore.adapters.jax.recovery.inputs import as_float
from qcore.adapters.jax.recovery.layers import Layer
from qcore.adapters.jax.recovery.together import run_alone
from qcore.errors import NonFiniteError


def mean_results(
    flats: Sequence[Flat],
    inputs: Sequence[Sequence[Any]],
    layers: dict[Index, Layer],
    every: dict[Index, int],
    /,
) -> dict[Index, np.ndarray]:
    """
    Return the mean of each output of layers, biases left out, float64 ``[outputs]``.

    Parameters
    ----------
    flats, inputs
        Of each call; a call is run at a time.
    layers : dict
        By the index of the product.
    every : dict
        How far apart are the outputs to look at.

    Raises
    ------
    NonFiniteError
        If one is NaN or infinite.
    """
    states: dict[Index, Moments] = {}

    def add(step: Step, _: list[Any], outputs: list[Any]) -> None:
        if (layer := layers.get(step.index)) is not None:
            rows = layer.layout.result(as_float(outputs[0]), every[step.index])
            states[step.index] = (
                states[step.index].update(rows)
                if step.index in states
                else Moments.of(rows, order=1, granularity=PerChannel(0))
            )

    for flat, given in zip(flats, inputs, strict=True):
        run_alone(flat, given, add)
    for index, state in states.items():
        if int(state.nonfinite.sum()):
            raise NonFiniteError(
                f"{layers[index].name}: the product must be finite; it holds NaN or "
                "infinity."
            )
    return {index: np.asarray(s.mean).reshape(-1) for index, s in states.items()}
