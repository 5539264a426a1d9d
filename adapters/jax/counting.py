"""The visitor that counts what sites see."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend import core

from qcore.adapters.jax.calls import Call, Found, bound
from qcore.adapters.jax.config import Plan
from qcore.adapters.jax.explicit_axes import spread_by_compiler
from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.sites import Site
from qcore.adapters.jax.statistics import emptied, sync_statistics
from qcore.adapters.jax.varying import varying_operands
from qcore.statistics import Statistics

State = dict[str, Statistics]
Mask = Callable[[Site], Any]


@dataclass(frozen=True)
class Counting:
    """Counts the operands of sites, and computes them as they are.

    Attributes
    ----------
    plans : mapping
        Those of each equation; the operands whose sites the state names are counted.
    mask : callable or None
        From a site to booleans that broadcast to its operand, or None: all count.
    """

    plans: Mapping[Index, Sequence[Plan]]
    mask: Mask | None

    def visit(
        self, index: Index, equation: core.JaxprEqn, inputs: list[Any], state: State
    ) -> Found:
        """Count operands."""
        state = dict(state)
        for plan in self.plans[index]:
            site = plan.site
            if site.name in state:
                x = jax.lax.stop_gradient(inputs[site.operand])
                seen: Any = state[site.name]
                keep = self.mask and self.mask(site)
                state[site.name] = spread_by_compiler(_updated, None, seen, x, keep)
        return bound(equation, inputs), state

    def empty(self, state: State) -> State:
        """Return states that have seen nothing."""
        return {name: emptied(seen) for name, seen in state.items()}

    def reduced(self, state: State, call: Call, axes: tuple[str, ...]) -> State:
        """Return the states of all devices as one: what all see counts once."""
        found = varying_operands(call.equation, frozenset(axes), call.place)
        along: dict[str, set[str]] = {name: set() for name in state}
        for index, plans in self.plans.items():
            for plan in plans:
                if index in found and plan.site.name in along:
                    along[plan.site.name] |= found[index][plan.site.operand]
        return {
            name: sync_statistics({name: seen}, tuple(sorted(along[name])))[name]
            if along[name]
            else seen
            for name, seen in state.items()
        }

    def merged(self, before: State, after: State) -> State:
        """Return what was seen before and after."""
        return {name: seen.merge(after[name]) for name, seen in before.items()}


def _updated(seen: Any, x: jax.Array, keep: Any) -> Any:
    return seen.update(x, mask=keep)
