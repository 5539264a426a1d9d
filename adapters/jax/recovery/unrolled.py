"""A program whose loops over layers are written out, one round after the other.

A loop that scans over stacked weights, as transformers are often written, holds as many
layers as it has rounds: written out, each is a product of its own with a weight of its
own. Loops that see the same weights in every round stay as they are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from qcore.adapters.jax.calls import Closed, bound
from qcore.adapters.jax.config import Plan
from qcore.adapters.jax.interpreter import Index, Place, equations_of
from qcore.adapters.jax.kinds import INLINE, bodies_of
from qcore.adapters.jax.origins import PRIMITIVES
from qcore.adapters.jax.plans import by_index
from qcore.adapters.jax.program import Program
from qcore.adapters.jax.recovery.places import weight_shapes
from qcore.adapters.jax.uses import uses_of


def unrolled(
    programs: Sequence[Program], plans: Sequence[Plan], /
) -> tuple[list[Program], list[Plan]]:
    """
    Return programs without loops over layers, and plans for their sites.

    Parameters
    ----------
    programs : sequence of Program
        Of each call; alike.
    plans : sequence of Plan
        For their sites. Those of a loop are then there once for each round, under the
        name of the one site.
    """
    loops = _over_layers(programs[0], plans)
    if not loops:
        return list(programs), list(plans)
    works = [_Unrolling(loops) for _ in programs]
    found = [
        replace(program, closed=work.written_out(program.closed))
        for program, work in zip(programs, works, strict=True)
    ]
    new = [place.index for place, _ in _products(found[0].closed.jaxpr)]
    at = by_index(plans)
    return found, [
        replace(plan, site=replace(plan.site, index=index))
        for index, before in zip(new, works[0].products, strict=True)
        for plan in at.get(before, [])
    ]


def _over_layers(program: Program, plans: Sequence[Plan]) -> frozenset[Index]:
    """Return the loops whose rounds each have weights of their own."""
    jaxpr = program.closed.jaxpr
    found: set[Index] = set()
    weights = {(p.site.index, p.site.operand) for p in plans if p.site.is_weight}
    for use in uses_of(jaxpr, weight_shapes(program)):
        if use.index is not None and (use.index, use.operand) in weights:
            around = list(_around(jaxpr, use.index))
            is_scanned = all(name == "scan" for _, name in around)
            if is_scanned and len(around) == use.part.rounds:
                found.update(loop for loop, _ in around)
    return frozenset(found)


def _around(jaxpr: core.Jaxpr, index: Index) -> Iterator[tuple[Index, str]]:
    """Yield what holds an equation but is no plain call, the outermost first."""
    for end in range(0, len(index) - 1, 2):
        equation = jaxpr.eqns[index[end]]
        if equation.primitive.name not in INLINE:
            yield index[: end + 1], equation.primitive.name
        jaxpr = bodies_of(equation)[index[end + 1]].jaxpr


def _products(
    jaxpr: core.Jaxpr, around: Index = ()
) -> Iterator[tuple[Place, core.JaxprEqn]]:
    return equations_of(jaxpr, PRIMITIVES, Place(around, "", None))


@dataclass
class _Unrolling:
    """Writes loops out.

    Attributes
    ----------
    loops : frozenset of tuple of int
        Which.
    products : list of tuple of int
        Where each product of the new program is in the old one.
    """

    loops: frozenset[Index]
    products: list[Index] = field(default_factory=list)

    def written_out(self, program: core.ClosedJaxpr) -> core.ClosedJaxpr:
        """Return a program that computes the same."""

        def run(*inputs: Any) -> list[Any]:
            consts = list(map(jnp.asarray, program.consts))
            return self._run(Closed(program.jaxpr, consts), list(inputs), ())

        shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in program.in_avals]
        return jax.make_jaxpr(run)(*shapes)

    def _run(self, program: Closed, inputs: Sequence[Any], index: Index) -> list[Any]:
        jaxpr = program.jaxpr
        values = dict(zip(jaxpr.invars, inputs, strict=True))
        values.update(zip(jaxpr.constvars, program.consts, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else values[atom]

        for number, equation in enumerate(jaxpr.eqns):
            given = list(map(read, equation.invars))
            outputs = self._outputs(equation, given, (*index, number))
            values.update(zip(equation.outvars, outputs, strict=True))
        return list(map(read, jaxpr.outvars))

    def _outputs(
        self, equation: core.JaxprEqn, given: list[Any], here: Index
    ) -> list[Any]:
        if here in self.loops:
            return self._rounds(equation, given, here)
        bodies = bodies_of(equation)
        if any(loop[: len(here)] == here for loop in self.loops):
            return self._run(bodies[0], given, (*here, 0))
        if equation.primitive.name in PRIMITIVES:
            self.products.append(here)
        for part, body in enumerate(bodies):
            inner = _products(body.jaxpr, (*here, part))
            self.products.extend(place.index for place, _ in inner)
        return bound(equation, given)

    def _rounds(
        self, equation: core.JaxprEqn, given: list[Any], here: Index
    ) -> list[Any]:
        params = equation.params
        first = params["num_consts"]
        last = first + params["num_carry"]
        constants, carry, stacks = given[:first], given[first:last], given[last:]
        order = range(params["length"])
        made: dict[int, list[Any]] = {}
        for number in reversed(order) if params["reverse"] else order:
            row = [
                jax.lax.index_in_dim(stack, number, keepdims=False) for stack in stacks
            ]
            inputs = [*constants, *carry, *row]
            found = self._run(bodies_of(equation)[0], inputs, (*here, 0))
            carry, made[number] = found[: len(carry)], found[len(carry) :]
        columns = zip(*(made[number] for number in order), strict=True)
        return [*carry, *(jnp.stack(column) for column in columns)]
