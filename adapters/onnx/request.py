"""What `quantize` was asked for, in the words of what does it."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from qcore.adapters.onnx.formats import Formats
from qcore.adapters.onnx.overrides import Overrides, opset_of
from qcore.adapters.onnx.plan import Plan
from qcore.adapters.onnx.planning import plan_prepared, refuse_idle
from qcore.adapters.onnx.recipe import Recipe
from qcore.adapters.onnx.selection import Selection
from qcore.adapters.onnx.tailoring import Tailored, tailor
from qcore.adapters.onnx.weights import WeightSpec
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
