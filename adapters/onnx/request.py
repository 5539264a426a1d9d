"""What `quantize` was asked for, in the words of what does it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import onnx_ir as ir

from qcore import QuantSpec
from qcore.adapters.onnx.argument_kinds import check_flags
from qcore.adapters.onnx.formats import QDQ, Formats, choose_formats
from qcore.adapters.onnx.overrides import Overrides, opset_of, parse_overrides
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.planning.planning import plan_prepared, refuse_idle
from qcore.adapters.onnx.planning.selection import Selection
from qcore.adapters.onnx.recipe import Recipe
from qcore.adapters.onnx.tailoring import Tailored, tailor
from qcore.adapters.onnx.targets import Target, find_target
from qcore.adapters.onnx.weights import OUTPUT, WeightSpec
from qcore.adapters.recovery_levels import Level
from qcore.statistics import Statistics


@dataclass(frozen=True)
class Request:
    """
    Which numbers are wanted where.

    Attributes
    ----------
    formats : Formats
        The numbers, and the rules of the runtime for them.
    activations : Recipe
        How activations get theirs.
    weights : WeightSpec
        How weights do.
    overrides : mapping
        What single tensors get instead.
    selection : Selection
        Which nodes.
    """

    formats: Formats
    activations: Recipe
    weights: WeightSpec
    overrides: Overrides
    selection: Selection

    @property
    def opset(self) -> int:
        """The first opset that has the numbers."""
        return max(self.formats.opset, opset_of(self.overrides))

    def at(self, level: Level) -> "Request":
        """Return what is wanted if so much is done about the errors of rounding."""
        target = replace(self.formats.target, answers=level != "none")
        return replace(self, formats=replace(self.formats, target=target))

    def check(self) -> None:
        """Refuse what methods do not know, before minutes of calibration."""
        if self.formats.needs_data:
            self.activations.check()
        self.weights.check()

    def plan(
        self, model: ir.Model, statistics: Mapping[str, Statistics] | None = None
    ) -> Plan:
        """Return the plan for a prepared model; raise if it leaves all floats."""
        rules = self.formats.target
        found = plan_prepared(model, rules, self.selection, statistics=statistics)
        refuse_idle(found, rules)
        return found

    def tailor(self, model: ir.Model, plan: Plan) -> Tailored:
        """Return how each tensor of a plan is quantized; see `tailoring.tailor`."""
        return tailor(
            model.graph,
            plan,
            self.formats.target,
            self.overrides,
            activations=self.activations,
            weights=self.weights,
        )


def requested(
    *,
    target: str | Target = "onnxruntime",
    method: str = "mse",
    activation: str | QuantSpec | None = None,
    symmetric: bool | None = None,
    weight: str | None = None,
    block: int | None = None,
    weight_form: str = QDQ,
    fake: bool = False,
    weight_method: str = OUTPUT,
    per_channel: bool = True,
    op_types: Collection[str] | None = None,
    include: Collection[str] = (),
    exclude: Collection[str] = (),
    overrides: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
    **options: Any,
) -> Request:
    """
    Return what the options of `quantize` ask for.

    Raises
    ------
    TypeError, QuantError
        If the target does not take it, or it contradicts itself.
    """
    check_flags(per_channel=per_channel)
    formats = choose_formats(
        find_target(target),
        activation=activation,
        symmetric=symmetric,
        weight=weight,
        block=block,
        fake=fake,
        weight_form=weight_form,
    )
    bias_codes = formats.target.bias_codes
    return Request(
        formats,
        Recipe(formats.activation or QuantSpec(), method, options),
        WeightSpec(
            formats.weight,
            weight_method,
            per_channel,
            bias_codes,
            formats.block,
            adds_in_16_bits=formats.target.adds_in_16_bits,
        ),
        parse_overrides(overrides),
        Selection(op_types, include, exclude),
    )
