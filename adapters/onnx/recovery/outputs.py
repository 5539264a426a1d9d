"""What the float model's layers give on the average."""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx_ir as ir

from qcore import Moments, PerChannel
from qcore.adapters.onnx.data.inputs import Feed
from qcore.adapters.onnx.recovery.geometry import Geometry
from qcore.adapters.onnx.running.watching import watching


def mean_outputs(
    model: ir.Model,
    layers: Mapping[str, Geometry],
    samples: Iterable[Feed],
    most: int,
) -> dict[str, np.ndarray]:
    """Return the mean output of each channel, float64, by the name of the node.

    Parameters
    ----------
    model : Model
        The float model.
    layers : mapping
        Products whose weight is a constant, by name.
    samples : iterable
        Arrays by input.
    most : int
        How many outputs of a channel to look at in each sample.
    """
    states: dict[str, Moments] = {}
    with watching(model, [g.node.outputs[0] for g in layers.values()]) as watch:
        for number, sample in enumerate(samples):
            results = watch(sample, f"in sample {number}")
            for name, geometry in layers.items():
                output = results[str(geometry.node.outputs[0].name)]
                rows = _by_channel(output, geometry, most)
                states[name] = (
                    states[name].update(rows)
                    if name in states
                    else Moments.of(rows, order=1, granularity=PerChannel(0))
                )
    return {name: np.asarray(state.mean).reshape(-1) for name, state in states.items()}


def _by_channel(output: np.ndarray, geometry: Geometry, most: int) -> np.ndarray:
    every = geometry.every(output.shape, most)
    if not geometry.kernel:
        return output.reshape(-1, output.shape[-1])[::every].T
    cut = [slice(None, None, every)] * len(geometry.kernel)
    thinned = output[(slice(None), slice(None), *cut)]
    return np.moveaxis(thinned, 1, 0).reshape(output.shape[1], -1)
