"""Refuse a model with nothing to quantize before minutes are spent on it."""

from argparse import Namespace
from collections.abc import Mapping

from qcore.adapters import onnx
from qcore.adapters.cli.arguments import selected
from qcore.adapters.cli.errors import CannotDoError
from qcore.statistics import Statistics


def planned(
    arguments: Namespace, statistics: Mapping[str, Statistics] | None = None
) -> onnx.Plan:
    """Return the plan for the model, unless that leaves everything float."""
    plan = onnx.plan(arguments.model, statistics=statistics, **selected(arguments))
    if not (plan.compute or plan.stores):
        name = str(arguments.model)
        raise CannotDoError(f"{name!r} has nothing to quantize{plan.first_reason}")
    return plan
