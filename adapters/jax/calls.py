"""Equations that hold programs: how each is rebuilt around a body that is visited."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
from jax.extend import core

State = Any
"""What sites leave behind, a pytree; the equations thread it through."""

Found = tuple[list[Any], State]
"""Outputs, and the state after them."""

Body = Callable[[Sequence[Any], State], Found]


class Reduction(Protocol):
    """How states of devices become one."""

    def empty(self, state: State) -> State:
        """Return the state with which each device begins."""

    def reduced(self, state: State, axes: tuple[str, ...]) -> State:
        """Return the state of all devices of a map, seen from inside of it."""

    def merged(self, before: State, after: State) -> State:
        """Return two states as one."""


@dataclass(frozen=True)
class Call:
    """An equation that holds programs, about to be run."""

    params: Mapping[str, Any]
    bodies: Sequence[Body]
    inputs: list[Any]
    state: State
    reduction: Reduction

    def in_place(self) -> Found:
        """Run the body in the place of the call; a custom derivative is not kept."""
        return self.bodies[0](self.inputs, self.state)

    def jit(self) -> Found:
        """Compile the body."""
        compiled = jax.jit(self.bodies[0], inline=self.params["inline"])
        outputs, state = compiled(self.inputs, self.state)
        return outputs, state

    def checkpoint(self) -> Found:
        """Run the body again for the gradient."""
        again = jax.checkpoint(
            self.bodies[0],
            prevent_cse=self.params["prevent_cse"],
            policy=self.params["policy"],
        )
        outputs, state = again(self.inputs, self.state)
        return outputs, state

    def scan(self) -> Found:
        """Carry the state along."""
        first = self.params["num_consts"]
        last = first + self.params["num_carry"]
        constants, carry = self.inputs[:first], self.inputs[first:last]

        def step(before: Any, row: list[Any]) -> tuple[Any, list[Any]]:
            carried, state = before
            outputs, state = self.bodies[0]([*constants, *carried, *row], state)
            return (outputs[: len(carry)], state), outputs[len(carry) :]

        options = {name: self.params[name] for name in ("length", "reverse", "unroll")}
        (carry, state), columns = jax.lax.scan(
            step, (carry, self.state), self.inputs[last:], **options
        )
        return [*carry, *columns], state

    def while_loop(self) -> Found:
        """Carry the state along; the condition is not visited."""
        first = self.params["cond_nconsts"]
        last = first + self.params["body_nconsts"]
        of_condition, constants = self.inputs[:first], self.inputs[first:last]
        goes_on = core.jaxpr_as_fun(self.params["cond_jaxpr"])
        return jax.lax.while_loop(
            lambda held: goes_on(*of_condition, *held[0])[0],
            lambda held: self.bodies[0]([*constants, *held[0]], held[1]),
            (self.inputs[last:], self.state),
        )

    def cond(self) -> Found:
        """Leave each branch with a state."""
        index, *operands = self.inputs
        found: Found = jax.lax.switch(index, self.bodies, operands, self.state)
        return found

    def shard_map(self) -> Found:
        """Map over devices, each with a state of its own; all of them merge after."""
        # Its name before JAX 0.10 is the second one.
        axes = self.params.get("newly_manual_axes", self.params.get("manual_axes"))
        axes = tuple(sorted(axes))

        def run(*inputs: Any) -> Any:
            outputs, inside = self.bodies[0](inputs, self.reduction.empty(self.state))
            return outputs, self.reduction.reduced(inside, axes)

        mapped = jax.shard_map(
            run,
            mesh=self.params["mesh"],
            in_specs=tuple(self.params["in_specs"]),
            out_specs=(list(self.params["out_specs"]), jax.sharding.PartitionSpec()),
            axis_names=set(axes),
            # Without a state as it was, for gradients depend on it. Loops that count
            # do not say what differs between devices.
            check_vma=self.params["check_vma"] and not jax.tree.leaves(self.state),
        )
        outputs, inside = mapped(*self.inputs)
        return outputs, self.reduction.merged(self.state, inside)


@dataclass(frozen=True)
class Closed:
    """A program and its constants."""

    jaxpr: core.Jaxpr
    consts: Sequence[Any]


def bodies_of(equation: core.JaxprEqn, /) -> list[Closed]:
    """Return the programs inside of an equation whose sites can be visited."""
    name, _ = KINDS.get(equation.primitive.name, (None, None))
    held = () if name is None else equation.params[name]
    return [
        Closed(x.jaxpr, x.consts) if hasattr(x, "consts") else Closed(x, ())
        for x in (held if isinstance(held, tuple) else (held,))
    ]


KINDS: dict[str, tuple[str, Callable[[Call], Found]]] = {
    "jit": ("jaxpr", Call.jit),
    "pjit": ("jaxpr", Call.jit),
    "closed_call": ("call_jaxpr", Call.in_place),
    "core_call": ("call_jaxpr", Call.in_place),
    "custom_jvp_call": ("call_jaxpr", Call.in_place),
    "custom_vjp_call": ("call_jaxpr", Call.in_place),
    "custom_vjp_call_jaxpr": ("fun_jaxpr", Call.in_place),
    "checkpoint": ("jaxpr", Call.checkpoint),
    "remat2": ("jaxpr", Call.checkpoint),
    "scan": ("jaxpr", Call.scan),
    "while": ("body_jaxpr", Call.while_loop),
    "cond": ("branches", Call.cond),
    "shard_map": ("jaxpr", Call.shard_map),
}
"""By primitive: the parameter that holds what is visited, and how it is run."""
