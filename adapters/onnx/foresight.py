"""What `quantize` will do with each tensor, told before it runs any data."""

from typing import NamedTuple

import onnx_ir as ir

from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.request import Request
from qcore.adapters.onnx.smoothing import with_places_to_smooth
from qcore.adapters.onnx.tailoring import Tailored
from qcore.errors import QuantError


class Foreseen(NamedTuple):
    """A plan, and how each of its tensors is quantized."""

    plan: Plan
    tailored: Tailored


def foresee(
    model: ir.Model, plan: Plan, asked: Request, *, smooths: bool = False
) -> Foreseen:
    """
    Return what will be done to a prepared model.

    Parameters
    ----------
    model : Model
        Prepared; it stays as it is.
    plan : Plan
        Of that model.
    asked : Request
        What is wanted.
    smooths : bool, optional
        Whether inputs are smoothed first, which makes other tensors of some.

    Raises
    ------
    QuantError
        If something that is asked of a tensor cannot be.
    """
    tailored = asked.tailor(model, plan)
    if not smooths:
        return Foreseen(plan, tailored)
    smoothed = with_places_to_smooth(model, plan)
    after = asked.plan(smoothed)
    try:
        return Foreseen(after, asked.tailor(smoothed, after))
    except QuantError as error:
        raise QuantError(
            f"{error} With `smooth`, what it changes is named *_smoothed."
        ) from error
