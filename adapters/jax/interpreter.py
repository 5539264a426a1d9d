"""Running a JAX program equation by equation, sites of interest our own way.

A program is what `jax.make_jaxpr` makes of a function. Equations without a site inside
are bound as they are, custom derivatives, shardings and all; loops, branches and calls
that hold a site are rebuilt around their bodies. A state is threaded through them all,
so that what sites collect in a scan leaves it as a value.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import jax
from jax.extend import core

Index = tuple[int, ...]
"""Where an equation is: its number, and those of the calls around it."""

State = Any


class Visitor(Protocol):
    """What is done at the sites of a program."""

    def visit(
        self, index: Index, equation: core.JaxprEqn, inputs: list[Any], state: State
    ) -> tuple[list[Any], State]:
        """Return the outputs of the equation at a site, and the state after it."""

    def merged(self, before: State, inside: State, axes: tuple[str, ...]) -> State:
        """Return the state after a map over devices, from that of each inside."""

    def empty(self, state: State) -> State:
        """Return the state with which each device begins."""


def equations_of(
    jaxpr: core.Jaxpr, primitives: frozenset[str], index: Index = (), scope: str = ""
) -> Iterator[tuple[Index, str, core.JaxprEqn]]:
    """Yield index, named scope and equation of each of the primitives, in order."""
    for number, equation in enumerate(jaxpr.eqns):
        inner = _joined(scope, str(equation.source_info.name_stack))
        here = (*index, number)
        if equation.primitive.name in primitives:
            yield here, inner, equation
            continue
        for part, body in enumerate(bodies_of(equation)):
            yield from equations_of(body.jaxpr, primitives, (*here, part), inner)


@dataclass(frozen=True)
class Interpreter:
    """Runs a program.

    Attributes
    ----------
    sites : frozenset of tuple of int
        Where the visitor is asked.
    visitor : Visitor
        What it then does.
    """

    sites: frozenset[Index]
    visitor: Visitor

    def run(
        self,
        jaxpr: core.Jaxpr,
        constants: Sequence[Any],
        inputs: Sequence[Any],
        state: State,
        index: Index = (),
    ) -> tuple[list[Any], State]:
        """Return the outputs of a program, and the state after it."""
        values: dict[core.Var, Any] = {}

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        values.update(zip(jaxpr.constvars, constants, strict=True))
        values.update(zip(jaxpr.invars, inputs, strict=True))
        for number, equation in enumerate(jaxpr.eqns):
            here = (*index, number)
            given = [read(atom) for atom in equation.invars]
            scope = str(equation.source_info.name_stack)
            with jax.named_scope(scope) if scope else nullcontext():
                outputs, state = self._equation(equation, given, state, here)
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars], state

    def _equation(
        self, equation: core.JaxprEqn, inputs: list[Any], state: State, here: Index
    ) -> tuple[list[Any], State]:
        if here in self.sites:
            return self.visitor.visit(here, equation, inputs, state)
        if not any(site[: len(here)] == here for site in self.sites):
            return _bound(equation, inputs), state
        bodies = bodies_of(equation)

        def body(part: int) -> "Body":
            def run(inputs: Sequence[Any], state: State) -> tuple[list[Any], State]:
                closed = bodies[part]
                return self.run(
                    closed.jaxpr, closed.consts, inputs, state, (*here, part)
                )

            return run

        rule = _RULES[equation.primitive.name]
        return rule(equation.params, body, inputs, state, self.visitor)


Body = Callable[[Sequence[Any], State], tuple[list[Any], State]]


def _bound(equation: core.JaxprEqn, inputs: list[Any]) -> list[Any]:
    given = equation.primitive.get_bind_params(equation.params)
    # Before JAX 0.10, functions apart.
    functions, params = given if isinstance(given, tuple) else ((), given)
    found = equation.primitive.bind(*functions, *inputs, **params)
    return list(found) if equation.primitive.multiple_results else [found]


def _joined(*scopes: str) -> str:
    return "/".join(scope for scope in scopes if scope)


@dataclass(frozen=True)
class Closed:
    """A program and its constants."""

    jaxpr: core.Jaxpr
    consts: Sequence[Any]


def bodies_of(equation: core.JaxprEqn, /) -> list[Closed]:
    """Return the programs inside of an equation whose sites can be visited."""
    names = _INSIDE.get(equation.primitive.name, ())
    held = [equation.params[name] for name in names]
    flat = [x for part in held for x in (part if isinstance(part, tuple) else (part,))]
    return [
        Closed(x.jaxpr, x.consts) if hasattr(x, "consts") else Closed(x, ())
        for x in flat
    ]


def _call(
    params: Mapping[str, Any],
    body: Callable[[int], Body],
    inputs: list[Any],
    state: State,
    visitor: Visitor,
) -> tuple[list[Any], State]:
    """Run the body in the place of the call; a custom derivative is not kept."""
    del params, visitor
    return body(0)(inputs, state)


def _jit(
    params: Mapping[str, Any],
    body: Callable[[int], Body],
    inputs: list[Any],
    state: State,
    visitor: Visitor,
) -> tuple[list[Any], State]:
    del visitor
    run = jax.jit(body(0), inline=params["inline"])
    outputs, state = run(inputs, state)
    return outputs, state


def _remat(
    params: Mapping[str, Any],
    body: Callable[[int], Body],
    inputs: list[Any],
    state: State,
    visitor: Visitor,
) -> tuple[list[Any], State]:
    del visitor
    run = jax.checkpoint(
        body(0), prevent_cse=params["prevent_cse"], policy=params["policy"]
    )
    outputs, state = run(inputs, state)
    return outputs, state


def _scan(
    params: Mapping[str, Any],
    body: Callable[[int], Body],
    inputs: list[Any],
    state: State,
    visitor: Visitor,
) -> tuple[list[Any], State]:
    del visitor
    first, last = params["num_consts"], params["num_consts"] + params["num_carry"]
    constants, carry, rows = inputs[:first], inputs[first:last], inputs[last:]

    def step(before: Any, row: list[Any]) -> tuple[Any, list[Any]]:
        carried, state = before
        outputs, state = body(0)([*constants, *carried, *row], state)
        return (outputs[: len(carry)], state), outputs[len(carry) :]

    (carry, state), columns = jax.lax.scan(
        step,
        (carry, state),
        rows,
        length=params["length"],
        reverse=params["reverse"],
        unroll=params["unroll"],
    )
    return [*carry, *columns], state


def _while(
    params: Mapping[str, Any],
    body: Callable[[int], Body],
    inputs: list[Any],
    state: State,
    visitor: Visitor,
) -> tuple[list[Any], State]:
    del visitor
    first = params["cond_nconsts"]
    last = first + params["body_nconsts"]
    of_condition, constants, carry = inputs[:first], inputs[first:last], inputs[last:]
    goes_on = core.jaxpr_as_fun(params["cond_jaxpr"])
    return jax.lax.while_loop(
        lambda held: goes_on(*of_condition, *held[0])[0],
        lambda held: body(0)([*constants, *held[0]], held[1]),
        (carry, state),
    )


def _cond(
    params: Mapping[str, Any],
    body: Callable[[int], Body],
    inputs: list[Any],
    state: State,
    visitor: Visitor,
) -> tuple[list[Any], State]:
    del visitor
    branches = [body(part) for part in range(len(params["branches"]))]
    return jax.lax.switch(  # type: ignore[no-any-return]
        inputs[0], branches, inputs[1:], state
    )


def _shard_map(
    params: Mapping[str, Any],
    body: Callable[[int], Body],
    inputs: list[Any],
    state: State,
    visitor: Visitor,
) -> tuple[list[Any], State]:
    """Map over devices, each with a state of its own; all of them merge afterwards."""
    # Its name before JAX 0.10 is the second one.
    axes = params.get("newly_manual_axes", params.get("manual_axes"))
    axes = tuple(sorted(axes))

    def run(*inputs: Any) -> Any:
        outputs, inside = body(0)(inputs, visitor.empty(state))
        return outputs, visitor.merged(None, inside, axes)

    whole = jax.sharding.PartitionSpec()
    mapped = jax.shard_map(
        run,
        mesh=params["mesh"],
        in_specs=tuple(params["in_specs"]),
        out_specs=(list(params["out_specs"]), whole),
        axis_names=set(axes),
        check_vma=False,
    )
    outputs, inside = mapped(*inputs)
    return outputs, visitor.merged(state, inside, ())


_INSIDE: dict[str, tuple[str, ...]] = {
    "jit": ("jaxpr",),
    "pjit": ("jaxpr",),
    "closed_call": ("call_jaxpr",),
    "core_call": ("call_jaxpr",),
    "custom_jvp_call": ("call_jaxpr",),
    "custom_vjp_call": ("call_jaxpr",),
    "custom_vjp_call_jaxpr": ("fun_jaxpr",),
    "checkpoint": ("jaxpr",),
    "remat2": ("jaxpr",),
    "scan": ("jaxpr",),
    "while": ("body_jaxpr",),
    "cond": ("branches",),
    "shard_map": ("jaxpr",),
}
"""By primitive: the parameters that are programs, whose sites can be visited."""

_RULES: dict[str, Callable[..., tuple[list[Any], State]]] = {
    "jit": _jit,
    "pjit": _jit,
    "checkpoint": _remat,
    "remat2": _remat,
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "shard_map": _shard_map,
} | dict.fromkeys(
    (
        "closed_call",
        "core_call",
        "custom_jvp_call",
        "custom_vjp_call",
        "custom_vjp_call_jaxpr",
    ),
    _call,
)
