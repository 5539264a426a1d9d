"""The visitor that computes sites on quantized operands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from qcore import QParams, QuantSpec, qparams_from_data
from qcore.adapters.jax.calls import Found, bound
from qcore.adapters.jax.config import Plan
from qcore.adapters.jax.explicit_axes import spread_by_compiler
from qcore.adapters.jax.fake_quantize import fake_quantize
from qcore.adapters.jax.integer_dot import QuantizedDot, integer_product, why_not
from qcore.adapters.jax.interpreter import Index


@dataclass(frozen=True)
class Rounding:
    """Computes sites on quantized operands.

    Attributes
    ----------
    plans : mapping
        Those of each equation.
    qparams : mapping
        By names of sites; one without takes the range of its values.
    quantized_dot : bool or "int8"
        Whether products are computed on integers where they can be.
    """

    plans: Mapping[Index, Sequence[Plan]]
    qparams: Mapping[str, QParams]
    quantized_dot: QuantizedDot

    def visit(
        self, index: Index, equation: core.JaxprEqn, inputs: list[Any], state: Any
    ) -> Found:
        """Quantize the operands that have a plan."""
        inputs, used = list(inputs), {}
        for plan in self.plans[index]:
            x = inputs[plan.site.operand]
            qparams = self.qparams.get(plan.site.name)
            if qparams is None:
                seen = jax.lax.stop_gradient(x)
                chosen = partial(_of_values, plan.spec)
                qparams = spread_by_compiler(chosen, None, seen)
            used[plan.site.operand] = qparams
        specs = {operand: qparams.spec for operand, qparams in used.items()}
        if self.quantized_dot and why_not(equation, specs) is None:
            everywhere = self.quantized_dot == "int8"
            return integer_product(equation, inputs, used, everywhere=everywhere), state
        for operand, qparams in used.items():
            inputs[operand] = fake_quantize(inputs[operand], qparams)
        return bound(equation, inputs), state

    def empty(self, state: Any) -> Any:
        """Return the state: there is none."""
        return state

    def reduced(self, state: Any, call: Any, axes: tuple[str, ...]) -> Any:
        """Return the state: there is none."""
        del call, axes
        return state

    def merged(self, before: Any, after: Any) -> Any:
        """Return the state: there is none."""
        del after
        return before


def _of_values(spec: QuantSpec, x: jax.Array) -> QParams:
    return qparams_from_data(x, spec, xp=jnp)
