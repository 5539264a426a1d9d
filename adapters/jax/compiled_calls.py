"""Rebuilding calls that say how their body is compiled, or run again."""

from typing import Any

import jax

from qcore.adapters.jax.calls import Call, Found, State


def in_place(call: Call) -> Found:
    """Run the body in the place of the call."""
    return call.bodies[0](call.inputs, call.state)


def jit(call: Call) -> Found:
    """Compile the body."""

    def run(inputs: list[Any], state: State) -> Found:
        return call.bodies[0](inputs, state)

    run.__name__ = run.__qualname__ = call.params["name"]
    shardings: dict[str, Any] = {
        side: ([_known(one) for one in call.params[side]], None)
        for side in ("in_shardings", "out_shardings")
    }
    compiled = jax.jit(
        run,
        inline=call.params["inline"],
        compiler_options=dict(call.params["compiler_options_kvs"]) or None,
        **shardings,
    )
    outputs, state = compiled(call.inputs, call.state)
    return outputs, state


def checkpoint(call: Call) -> Found:
    """Run the body again for the gradient."""
    inputs, prevent = call.inputs, call.params["prevent_cse"]
    each = prevent if isinstance(prevent, tuple) else (prevent,)
    if call.params["differentiated"] and any(each):
        # This is the second run, which shall not be merged with the first.
        inputs = jax.lax.optimization_barrier(inputs)
    if isinstance(prevent, tuple):
        prevent = (list(prevent), True)
    again = jax.checkpoint(
        call.bodies[0], prevent_cse=prevent, policy=call.params["policy"]
    )
    outputs, state = again(inputs, call.state)
    return outputs, state


def _known(sharding: Any) -> jax.sharding.Sharding | None:
    """Return a sharding, or None for one that was not said."""
    return sharding if isinstance(sharding, jax.sharding.Sharding) else None
