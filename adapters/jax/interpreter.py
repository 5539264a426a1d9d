"""Running a JAX program equation by equation, sites of interest our own way.

A program is what `jax.make_jaxpr` makes of a function. Equations without a site inside
are bound as they are, shardings and all; loops, branches and calls that hold a site
are rebuilt around their bodies, custom derivatives too. A state is threaded through
them all, so that what sites collect in a scan leaves it as a value.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

import jax
from jax.extend import core

from qcore.adapters.jax.calls import Call, Closed, Found, Reduction, State, bound
from qcore.adapters.jax.kinds import KINDS, bodies_of, hidden_in

Index = tuple[int, ...]
"""Where an equation is: its number, and those of the calls around it."""


class Visitor(Reduction, Protocol):
    """What is done at the sites of a program."""

    def visit(
        self, index: Index, equation: core.JaxprEqn, inputs: list[Any], state: State
    ) -> Found:
        """Return the outputs of the equation at a site, and the state after it."""


@dataclass(frozen=True)
class Place:
    """Where an equation is.

    Attributes
    ----------
    index : tuple of int
        In the program.
    scope : str
        The named scopes around it.
    inside : str or None
        The primitive that holds it and cannot be rebuilt, if there is one.
    """

    index: Index
    scope: str
    inside: str | None


def equations_of(
    jaxpr: core.Jaxpr,
    primitives: frozenset[str],
    around: Place = Place((), "", None),
) -> Iterator[tuple[Place, core.JaxprEqn]]:
    """Yield each equation of the primitives and where it is, in order."""
    for number, equation in enumerate(jaxpr.eqns):
        scope = _joined(around.scope, str(equation.source_info.name_stack))
        here = Place((*around.index, number), scope, around.inside)
        name = equation.primitive.name
        if name in primitives:
            yield here, equation
            continue
        bodies = [body.jaxpr for body in bodies_of(equation)]
        hidden = hidden_in(equation)
        if hidden:
            here = replace(here, inside=here.inside or name)
        for part, body in enumerate((*bodies, *hidden)):
            within = replace(here, index=(*here.index, part))
            yield from equations_of(body, primitives, within)


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
        unused = _unused_after(jaxpr)
        for number, equation in enumerate(jaxpr.eqns):
            given = [read(atom) for atom in equation.invars]
            scope = str(equation.source_info.name_stack)
            with jax.named_scope(scope) if scope else nullcontext():
                outputs, state = self.compute(equation, given, state, (*index, number))
            values.update(zip(equation.outvars, outputs, strict=True))
            for variable in unused[number]:
                del values[variable]
        return [read(atom) for atom in jaxpr.outvars], state

    def compute(
        self, equation: core.JaxprEqn, inputs: list[Any], state: State, here: Index
    ) -> Found:
        """Return the outputs of one equation, and the state after it."""
        if here in self.sites:
            return self.visitor.visit(here, equation, inputs, state)
        if not self._holds_site(here):
            return bound(equation, inputs), state

        def body(part: Index, program: Closed) -> Any:
            return lambda inputs, state: self.run(program, inputs, state, part)

        programs = bodies_of(equation)
        parts = [(*here, part) for part in range(len(programs))]
        call = Call(
            equation,
            here,
            list(map(body, parts, programs)),
            list(map(self._holds_site, parts)),
            inputs,
            state,
            self.visitor,
        )
        _, run = KINDS[equation.primitive.name]
        return run(call)

    def _holds_site(self, place: Index) -> bool:
        return any(site[: len(place)] == place for site in self.sites)


def _unused_after(jaxpr: core.Jaxpr) -> list[list[core.Var]]:
    """Return, for each equation, what no later one needs, so that it can be freed."""

    def variables(*atoms: Any) -> set[core.Var]:
        return {atom for atom in atoms if not isinstance(atom, core.Literal)}

    kept, found = variables(*jaxpr.outvars), []
    for equation in reversed(jaxpr.eqns):
        ended = variables(*equation.invars, *equation.outvars) - kept
        found.append(list(ended))
        kept |= ended
    return found[::-1]


def _joined(*scopes: str) -> str:
    return "/".join(scope for scope in scopes if scope)
