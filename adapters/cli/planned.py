"""Refuse what cannot be done with a model before minutes are spent on it."""

from argparse import Namespace
from collections.abc import Mapping

from qcore.adapters import onnx
from qcore.adapters.cli.arguments import selected
from qcore.adapters.cli.errors import CannotDoError
from qcore.adapters.onnx.foresight import Foreseen, foresee
from qcore.adapters.onnx.planning.planning import plan_prepared
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.request import Request
from qcore.adapters.recovery_levels import Level
from qcore.statistics import Statistics


def planned(
    arguments: Namespace,
    statistics: Mapping[str, Statistics] | None = None,
    *,
    level: Level = "full",
) -> onnx.Plan:
    """Return the plan for the model, unless that leaves everything float."""
    found = onnx.plan(
        arguments.model, statistics=statistics, recover=level, **selected(arguments)
    )
    return _checked(found, arguments)


def foreseen(
    arguments: Namespace,
    asked: Request,
    statistics: Mapping[str, Statistics] | None = None,
) -> tuple[onnx.Plan, Foreseen]:
    """Return the plan, and what will be done with each tensor, unless it cannot be."""
    prepared = prepare(
        arguments.model, keep_existing=arguments.keep_existing, opset=asked.opset
    )
    found = plan_prepared(
        prepared, asked.formats.target, asked.selection, statistics=statistics
    )
    plan = _checked(found, arguments)
    smooths = arguments.smooth is not False
    return plan, foresee(prepared, plan, asked, smooths=smooths)


def _checked(plan: onnx.Plan, arguments: Namespace) -> onnx.Plan:
    if not (plan.compute or plan.stores):
        name = str(arguments.model)
        raise CannotDoError(f"{name!r} has nothing to quantize{plan.first_reason}")
    return plan
