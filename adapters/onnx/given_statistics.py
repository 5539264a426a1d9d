"""Statistics as they were given, or of the data that was given instead."""

from collections.abc import Mapping

import onnx_ir as ir

from qcore.adapters.onnx.calibration import calibrate_prepared
from qcore.adapters.onnx.data.feeds import Data
from qcore.adapters.onnx.data.progress import Progress
from qcore.adapters.onnx.formats import Formats
from qcore.adapters.onnx.graph.stored_operands import multiplied_tensors
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.recovery.held import Held
from qcore.adapters.onnx.targets import DYNAMIC, FLOAT
from qcore.errors import QuantError
from qcore.statistics import Statistics


def statistics_for(
    model: ir.Model,
    plan: Plan,
    formats: Formats,
    given: Mapping[str, Statistics] | Data | Held | None,
    *,
    samples: int | None,
    progress: Progress | None,
) -> Mapping[str, Statistics]:
    """
    Return statistics of what a plan needs.

    Parameters
    ----------
    model : Model
        Prepared.
    plan : Plan
        Of that model.
    formats : Formats
        Whether any are needed.
    given : mapping, data, Held or None
        Statistics, or what they are collected of.
    samples, progress
        As in `calibrate`.

    Raises
    ------
    QuantError
        If they are needed and nothing is given, or it is not what `calibrate` gave.
    """
    if given is None:
        if formats.needs_data:
            raise QuantError(
                "`statistics_or_data` must be given unless `activation` is "
                f"{DYNAMIC!r} or {FLOAT!r}."
            )
        return {}
    if not isinstance(given, Mapping):
        sources = plan.sources or multiplied_tensors(model.graph, plan)
        return calibrate_prepared(
            model, given, sources, samples=samples, progress=progress
        )
    for name, state in given.items():
        if not isinstance(state, Statistics):
            raise QuantError(
                "statistics must be those that `calibrate` gave, by tensor; "
                f"got {type(state).__name__} for {name!r}."
            )
        if state.extents:
            raise QuantError(f"statistics of {name!r} must be per tensor to be used.")
    return given
