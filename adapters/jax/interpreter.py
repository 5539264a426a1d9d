"""Running a JAX program equation by equation, sites of interest our own way.

A program is what `jax.make_jaxpr` makes of a function. Equations without a site inside
are bound as they are, custom derivatives, shardings and all; loops, branches and calls
that hold a site are rebuilt around their bodies. A state is threaded through them all,
so that what sites collect in a scan leaves it as a value.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import jax
from jax.extend import core

from qcore.adapters.jax.calls import (
    KINDS,
    Call,
    Closed,
    Found,
    Reduction,
    State,
    bodies_of,
)

Index = tuple[int, ...]
"""Where an equation is: its number, and those of the calls around it."""


class Visitor(Reduction, Protocol):
    """What is done at the sites of a program."""

    def visit(
        self, index: Index, equation: core.JaxprEqn, inputs: list[Any], state: State
    ) -> Found:
        """Return the outputs of the equation at a site, and the state after it."""


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
        self, program: Closed, inputs: Sequence[Any], state: State, index: Index = ()
    ) -> Found:
        """Return the outputs of a program, and the state after it."""
        values: dict[core.Var, Any] = {}

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        jaxpr = program.jaxpr
        values.update(zip(jaxpr.constvars, program.consts, strict=True))
        values.update(zip(jaxpr.invars, inputs, strict=True))
        for number, equation in enumerate(jaxpr.eqns):
            given = [read(atom) for atom in equation.invars]
            scope = str(equation.source_info.name_stack)
            with jax.named_scope(scope) if scope else nullcontext():
                outputs, state = self._equation(
                    equation, given, state, (*index, number)
                )
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars], state

    def _equation(
        self, equation: core.JaxprEqn, inputs: list[Any], state: State, here: Index
    ) -> Found:
        if here in self.sites:
            return self.visitor.visit(here, equation, inputs, state)
        if not any(site[: len(here)] == here for site in self.sites):
            return bound(equation, inputs), state

        def body(part: int, program: Closed) -> Any:
            return lambda inputs, state: self.run(program, inputs, state, (*here, part))

        bodies = [body(*pair) for pair in enumerate(bodies_of(equation))]
        _, run = KINDS[equation.primitive.name]
        return run(Call(equation.params, bodies, inputs, state, self.visitor))


def bound(equation: core.JaxprEqn, inputs: list[Any], /) -> list[Any]:
    """Return the outputs of an equation as JAX has them."""
    given = equation.primitive.get_bind_params(equation.params)
    # Before JAX 0.10, functions apart.
    functions, params = given if isinstance(given, tuple) else ((), given)
    found = equation.primitive.bind(*functions, *inputs, **params)
    return list(found) if equation.primitive.multiple_results else [found]


def _joined(*scopes: str) -> str:
    return "/".join(scope for scope in scopes if scope)
