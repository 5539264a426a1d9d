"""The equations that hold programs: which can be rebuilt, and how."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jax.extend import core

from qcore.adapters.jax.calls import Call, Closed, Found
from qcore.adapters.jax.compiled_calls import checkpoint, in_place, jit
from qcore.adapters.jax.control_flow import cond, scan, while_loop
from qcore.adapters.jax.custom_derivatives import custom_jvp, custom_vjp
from qcore.adapters.jax.device_maps import shard_map

KINDS: dict[str, tuple[tuple[str, ...], Callable[[Call], Found]]] = {
    "jit": (("jaxpr",), jit),
    "pjit": (("jaxpr",), jit),
    "closed_call": (("call_jaxpr",), in_place),
    "core_call": (("call_jaxpr",), in_place),
    "custom_jvp_call": (("call_jaxpr",), custom_jvp),
    "custom_vjp_call": (("call_jaxpr",), custom_vjp),
    "custom_vjp_call_jaxpr": (("fun_jaxpr",), custom_vjp),
    "checkpoint": (("jaxpr",), checkpoint),
    "remat2": (("jaxpr",), checkpoint),
    "scan": (("jaxpr",), scan),
    "while": (("body_jaxpr", "cond_jaxpr"), while_loop),
    "cond": (("branches",), cond),
    "shard_map": (("jaxpr",), shard_map),
}
"""By primitive: the parameters that hold what is visited, and how it is run."""

INLINE = (
    *("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat2"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
)
"""Calls that are nothing but their body where no gradient is asked for."""

_WHOLE = ("custom_linear_solve",)
"""What is computed as it is: the programs it holds say what a solution solves."""


def bodies_of(equation: core.JaxprEqn, /) -> list[Closed]:
    """Return the programs inside of an equation whose sites can be visited.

    Of a loop the body comes before the condition.
    """
    names, _ = KINDS.get(equation.primitive.name, ((), None))
    return [
        Closed(held.jaxpr, held.consts) if hasattr(held, "consts") else Closed(held, ())
        for name in names
        for held in _listed(equation.params[name])
    ]


def hidden_in(equation: core.JaxprEqn, /) -> list[core.Jaxpr]:
    """Return the programs inside of an equation that cannot be rebuilt."""
    if equation.primitive.name in KINDS or equation.primitive.name in _WHOLE:
        return []
    return list(_programs(list(equation.params.values())))


def _programs(held: Any) -> Iterator[core.Jaxpr]:
    for value in _listed(held):
        if hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield from _programs(value.jaxpr)
        elif isinstance(value, tuple | list):
            yield from _programs(value)


def _listed(held: Any) -> Sequence[Any]:
    return held if isinstance(held, tuple | list) else (held,)
