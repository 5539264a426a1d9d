"""Smooth the inputs of a model's products, on samples of them."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import onnx_ir as ir

from qcore import PerChannel, Range
from qcore.adapters.onnx.calibration import calibrate_prepared
from qcore.adapters.onnx.data.progress import Progress
from qcore.adapters.onnx.passes.smooth_inputs import (
    divide_inputs,
    input_channels,
    smooth_inputs,
    smoothable,
)
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.recovery.held import Held
from qcore.errors import QuantError
from qcore.recovery.smooth_quant import USUAL_ALPHA


def checked_smooth(smooth: bool | float, given: Any) -> bool | float:
    """
    Return how much to smooth, unless that is not said, or there is no data.

    Raises
    ------
    TypeError, QuantError
        If it is no number, or one that is out of range; or if statistics are given,
        which are those of another model.
    """
    if isinstance(smooth, np.bool_):
        smooth = bool(smooth)
    if smooth is False:
        return smooth
    if not isinstance(smooth, Real):
        raise TypeError(
            "`smooth` must be a bool or a number from 0 to 1; "
            f"got {type(smooth).__name__}."
        )
    if not 0 <= smooth <= 1:
        raise QuantError(f"`smooth` must be a bool or from 0 to 1; got {smooth!r}.")
    if given is None or isinstance(given, Mapping):
        what = "statistics" if given is not None else "nothing"
        raise QuantError(
            f"`smooth` changes the model: it must be given data; got {what}."
        )
    return smooth


def smooth_layers(
    model: ir.Model,
    plan: Plan,
    samples: Held,
    smooth: bool | float,
    progress: Progress | None,
) -> ir.Model:
    """Return the model with smoothed inputs of the products of the plan.

    Parameters
    ----------
    model : Model
        Float and prepared.
    plan : Plan
        Which products are quantized.
    samples : Held
        To see the inputs on.
    smooth : bool or float
        How much, or true for as much as usual.
    progress : callable or None
        As in `calibrate`.
    """
    readers = smoothable(model.graph, [*plan.compute, *plan.stores])
    seen = calibrate_prepared(
        model,
        samples,
        [str(value.name) for value in readers],
        statistics=Range,
        progress=progress,
        options={"granularity": PerChannel(-1)},
        as_rows=True,
    )
    alpha = USUAL_ALPHA if smooth is True else float(smooth)
    return smooth_inputs(model, readers, seen, alpha)


def with_places_to_smooth(model: ir.Model, plan: Plan) -> ir.Model:
    """Return a copy that has the tensors that smoothing will give, divided by 1."""
    copy = model.clone()
    readers = smoothable(copy.graph, [*plan.compute, *plan.stores])
    ones = {x: np.ones(input_channels(nodes[0])) for x, nodes in readers.items()}
    return divide_inputs(copy, readers, ones)
