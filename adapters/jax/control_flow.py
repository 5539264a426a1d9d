"""Rebuilding loops and branches: the state is carried along."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from qcore.adapters.jax.calls import Call, Found, State


def scan(call: Call) -> Found:
    """Carry the state along."""
    first = call.params["num_consts"]
    last = first + call.params["num_carry"]
    constants, carry = call.inputs[:first], call.inputs[first:last]

    def step(before: Any, row: list[Any]) -> tuple[Any, list[Any]]:
        carried, state = before
        outputs, state = call.bodies[0]([*constants, *carried, *row], state)
        return (outputs[: len(carry)], state), outputs[len(carry) :]

    names = ("length", "reverse", "unroll", "_split_transpose")
    options = {name: call.params[name] for name in names if name in call.params}
    (carry, state), columns = jax.lax.scan(
        step, (carry, call.state), call.inputs[last:], **options
    )
    return [*carry, *columns], state


def while_loop(call: Call) -> Found:
    """Carry the state along; and what the condition says, where that is visited.

    It says it of each entry of a mapped loop, which stays as it is from then on.
    """
    first = call.params["cond_nconsts"]
    last = first + call.params["body_nconsts"]
    of_condition, constants = call.inputs[:first], call.inputs[first:last]
    start, condition = call.inputs[last:], call.params["cond_jaxpr"]

    def step(carry: list[Any], state: State) -> Found:
        return call.bodies[0]([*constants, *carry], state)

    if not (call.is_visited[1] or condition.out_avals[0].shape):
        goes_on = core.jaxpr_as_fun(condition)
        return jax.lax.while_loop(
            lambda held: goes_on(*of_condition, *held[0])[0],
            lambda held: step(*held),
            (start, call.state),
        )

    def asked(carry: list[Any], state: State) -> tuple[Any, list[Any], State]:
        (goes_on,), state = call.bodies[1]([*of_condition, *carry], state)
        return goes_on, carry, state

    def again(goes_on: Any, carry: list[Any], state: State) -> Any:
        found, state = step(carry, state)
        if goes_on.ndim:
            rows = [range(goes_on.ndim, x.ndim) for x in carry]
            found = [
                jnp.where(jnp.expand_dims(goes_on, tuple(axes)), new, old)
                for axes, new, old in zip(rows, found, carry, strict=True)
            ]
        return asked(found, state)

    _, carry, state = jax.lax.while_loop(
        lambda held: jnp.any(held[0]),
        lambda held: again(*held),
        asked(start, call.state),
    )
    return carry, state


def cond(call: Call) -> Found:
    """Leave each branch with a state."""
    index, *operands = call.inputs
    found: Found = jax.lax.switch(index, call.bodies, operands, call.state)
    return found
