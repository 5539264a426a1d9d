"""Equations that hold programs: how each is rebuilt around a body that is visited.

What has a derivative of its own keeps it: the value is that of the visited body, the
derivative is the user's rule at the operands as they are, as if nothing was rounded.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jax
from jax.custom_derivatives import zero_from_primal
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
    """An equation that holds programs, about to be run.

    Attributes
    ----------
    equation
        Of the program around it.
    bodies : sequence of callable
        The programs it holds, see `bodies_of`.
    is_visited : sequence of bool
        Which of them hold a site.
    inputs : list of array
        Of the equation.
    state : pytree
        Before it.
    reduction : Reduction
        For equations that run on many devices.
    """

    equation: core.JaxprEqn
    bodies: Sequence[Body]
    is_visited: Sequence[bool]
    inputs: list[Any]
    state: State
    reduction: Reduction

    @property
    def params(self) -> Mapping[str, Any]:
        """Those of the equation."""
        return self.equation.params

    def in_place(self) -> Found:
        """Run the body in the place of the call."""
        return self.bodies[0](self.inputs, self.state)

    def custom_jvp(self) -> Found:
        """Run the body; its derivative is the user's, forward and backward."""
        run = jax.custom_jvp(self.bodies[0])

        @run.defjvp
        def _(given: Any, along: Any) -> Any:
            found = run(*given)
            _, slopes = jax.jvp(self._unvisited, given[0], along[0])
            return found, (slopes, jax.tree.map(zero_from_primal, found[1]))

        return run(self.inputs, self.state)

    def custom_vjp(self) -> Found:
        """Run the body; its gradient is the user's."""
        run = jax.custom_vjp(self.bodies[0])

        def forward(inputs: list[Any], state: State) -> tuple[Found, Any]:
            _, back = jax.vjp(self._unvisited, *inputs)
            return run(inputs, state), back

        def backward(back: Any, gradients: Any) -> Any:
            return list(back(gradients[0])), None

        run.defvjp(forward, backward)
        return run(self.inputs, self.state)

    def _unvisited(self, *inputs: Any) -> list[Any]:
        return bound(self.equation, list(inputs))

    def jit(self) -> Found:
        """Compile the body."""

        def run(inputs: list[Any], state: State) -> Found:
            return self.bodies[0](inputs, state)

        run.__name__ = run.__qualname__ = self.params["name"]
        shardings: dict[str, Any] = {
            side: ([_known(one) for one in self.params[side]], None)
            for side in ("in_shardings", "out_shardings")
        }
        compiled = jax.jit(
            run,
            inline=self.params["inline"],
            compiler_options=dict(self.params["compiler_options_kvs"]) or None,
            **shardings,
        )
        outputs, state = compiled(self.inputs, self.state)
        return outputs, state

    def checkpoint(self) -> Found:
        """Run the body again for the gradient."""
        inputs, prevent = self.inputs, self.params["prevent_cse"]
        each = prevent if isinstance(prevent, tuple) else (prevent,)
        if self.params["differentiated"] and any(each):
            # This is the second run, which shall not be merged with the first.
            inputs = jax.lax.optimization_barrier(inputs)
        if isinstance(prevent, tuple):
            prevent = (list(prevent), True)
        again = jax.checkpoint(
            self.bodies[0], prevent_cse=prevent, policy=self.params["policy"]
        )
        outputs, state = again(inputs, self.state)
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

        names = ("length", "reverse", "unroll", "_split_transpose")
        options = {name: self.params[name] for name in names if name in self.params}
        (carry, state), columns = jax.lax.scan(
            step, (carry, self.state), self.inputs[last:], **options
        )
        return [*carry, *columns], state

    def while_loop(self) -> Found:
        """Carry the state along, and what a condition says that is visited."""
        first = self.params["cond_nconsts"]
        last = first + self.params["body_nconsts"]
        of_condition, constants = self.inputs[:first], self.inputs[first:last]
        start = self.inputs[last:]

        def step(carry: list[Any], state: State) -> Found:
            return self.bodies[0]([*constants, *carry], state)

        if not self.is_visited[1]:
            goes_on = core.jaxpr_as_fun(self.params["cond_jaxpr"])
            return jax.lax.while_loop(
                lambda held: goes_on(*of_condition, *held[0])[0],
                lambda held: step(*held),
                (start, self.state),
            )

        def asked(carry: list[Any], state: State) -> tuple[Any, list[Any], State]:
            (goes_on,), state = self.bodies[1]([*of_condition, *carry], state)
            return goes_on, carry, state

        _, carry, state = jax.lax.while_loop(
            lambda held: held[0],
            lambda held: asked(*step(*held[1:])),
            asked(start, self.state),
        )
        return carry, state

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
    """Return the programs inside of an equation that is not known to hold any."""
    if equation.primitive.name in KINDS:
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


def _known(sharding: Any) -> jax.sharding.Sharding | None:
    """Return a sharding, or None for one that was not said."""
    return sharding if isinstance(sharding, jax.sharding.Sharding) else None


def _listed(held: Any) -> Sequence[Any]:
    return held if isinstance(held, tuple | list) else (held,)


def bound(equation: core.JaxprEqn, inputs: list[Any], /) -> list[Any]:
    """Return the outputs of an equation as JAX has them."""
    given = equation.primitive.get_bind_params(equation.params)
    # Before JAX 0.10, functions apart.
    functions, params = given if isinstance(given, tuple) else ((), given)
    found = equation.primitive.bind(*functions, *inputs, **params)
    return list(found) if equation.primitive.multiple_results else [found]


KINDS: dict[str, tuple[tuple[str, ...], Callable[[Call], Found]]] = {
    "jit": (("jaxpr",), Call.jit),
    "pjit": (("jaxpr",), Call.jit),
    "closed_call": (("call_jaxpr",), Call.in_place),
    "core_call": (("call_jaxpr",), Call.in_place),
    "custom_jvp_call": (("call_jaxpr",), Call.custom_jvp),
    "custom_vjp_call": (("call_jaxpr",), Call.custom_vjp),
    "custom_vjp_call_jaxpr": (("fun_jaxpr",), Call.custom_vjp),
    "checkpoint": (("jaxpr",), Call.checkpoint),
    "remat2": (("jaxpr",), Call.checkpoint),
    "scan": (("jaxpr",), Call.scan),
    "while": (("body_jaxpr", "cond_jaxpr"), Call.while_loop),
    "cond": (("branches",), Call.cond),
    "shard_map": (("jaxpr",), Call.shard_map),
}
"""By primitive: the parameters that hold what is visited, and how it is run."""
