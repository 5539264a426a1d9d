"""Running a JAX program with what is known of it computed now, not staged."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.extend import core

from qcore.adapters.jax.calls import Closed, bound
from qcore.adapters.jax.computed_now import computed_now
from qcore.adapters.jax.kinds import INLINE, bodies_of


def folded(program: Closed, inputs: Sequence[Any], /) -> list[Any]:
    """
    Return the outputs of a program that another one is traced with.

    Parameters
    ----------
    program : Closed
        Its constants are arrays of JAX.
    inputs : sequence of array
        Concrete ones, and what is made of them alone, become constants of the traced
        program; custom derivatives are not kept.
    """
    values: dict[core.Var, Any] = {}

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else values[atom]

    values.update(zip(program.jaxpr.constvars, program.consts, strict=True))
    values.update(zip(program.jaxpr.invars, inputs, strict=True))
    for equation in program.jaxpr.eqns:
        outputs = _equation(equation, list(map(read, equation.invars)))
        values.update(zip(equation.outvars, outputs, strict=True))
    return list(map(read, program.jaxpr.outvars))


def _equation(equation: core.JaxprEqn, inputs: list[Any]) -> list[Any]:
    is_traced = [isinstance(x, jax.core.Tracer) for x in inputs]
    is_mixed = any(is_traced) and not all(is_traced)
    if is_mixed and equation.primitive.name in INLINE:
        return folded(bodies_of(equation)[0], inputs)
    with computed_now(inputs):
        return bound(equation, inputs)
