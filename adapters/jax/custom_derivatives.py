"""Rebuilding functions that have a derivative of their own, which they keep.

The value is that of the visited body. The derivative is the user's rule at the operands
as they are, as if nothing was rounded.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.custom_derivatives import zero_from_primal

from qcore.adapters.jax.calls import Body, Call, Found, State, bound


def custom_jvp(call: Call) -> Found:
    """Run the body; its derivative is the user's, forward and backward."""
    inputs, visited, unvisited = _split(call)
    run = jax.custom_jvp(visited)

    @run.defjvp
    def _(given: Any, along: Any) -> Any:
        found = run(*given)
        _, slopes = jax.jvp(unvisited, given[0], along[0])
        return found, (slopes, jax.tree.map(zero_from_primal, found[1]))

    return run(inputs, call.state)


def custom_vjp(call: Call) -> Found:
    """Run the body; its gradient is the user's."""
    inputs, visited, unvisited = _split(call)
    run = jax.custom_vjp(visited)

    def forward(inputs: list[Any], state: State) -> tuple[Found, Any]:
        _, back = jax.vjp(unvisited, *inputs)
        return run(inputs, state), back

    def backward(back: Any, gradients: Any) -> Any:
        return list(back(gradients[0])), None

    run.defvjp(forward, backward)
    return run(inputs, call.state)


def _split(call: Call) -> tuple[list[Any], Body, Callable[..., list[Any]]]:
    """Return inputs without what is closed over, for which JAX has no rule.

    Then the functions of these inputs: the visited body, and what it was.
    """
    held = call.params.get("num_consts", 0)
    # Rules outlive the call: they must not hold it, for its inputs may be traced.
    constants, body, equation = call.inputs[:held], call.bodies[0], call.equation

    def visited(inputs: Sequence[Any], state: State) -> Found:
        return body([*constants, *inputs], state)

    def unvisited(*inputs: Any) -> list[Any]:
        return bound(equation, [*constants, *inputs])

    return call.inputs[held:], visited, unvisited
