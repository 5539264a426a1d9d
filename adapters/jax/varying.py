"""What differs between the devices of a map, read from its program.

JAX says it itself where a map checks it, but also of what it has made to vary, such as
what meets something that does. Here an operand varies where that is not excluded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jax.extend import core

from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.kinds import bodies_of

Axes = frozenset[str]
"""Those of a mesh, by name."""

_ALIKE = (
    "psum",
    "psum_invariant",
    "pmax",
    "pmin",
    "all_gather",
    "all_gather_invariant",
)
"""Leave the same on all devices of their axes."""

_KEPT = ("pvary", "pcast")
"""Change what JAX takes for varying, and no value."""

_Found = tuple[list[Axes], dict[Index, list[Axes]]]
"""Of outputs; and of the operands of each equation inside."""


def varying_operands(
    equation: core.JaxprEqn, axes: Axes, place: Index, /
) -> Mapping[Index, Sequence[Axes]]:
    """
    Return the axes along which operands inside of a `shard_map` may vary.

    Parameters
    ----------
    equation
        The map.
    axes
        Those it maps over.
    place : tuple of int
        Of the equation.

    Returns
    -------
    mapping
        From each equation inside to axes, for each of its operands.
    """
    inputs = [axes & _mentioned(spec) for spec in equation.params["in_specs"]]
    _, found = _Reading(axes, frozenset()).program(
        equation.params["jaxpr"], inputs, (*place, 0)
    )
    return found


def _mentioned(spec: Any) -> Axes:
    """Return the axes that split an array, or leave parts of a sum."""
    found = set(getattr(spec, "unreduced", ()))
    for entry in spec:
        found.update(entry if isinstance(entry, tuple) else (entry,))
    return frozenset(found)


@dataclass(frozen=True)
class _Reading:
    """Reads programs.

    Attributes
    ----------
    axes
        All of them.
    least
        Along which all varies, for devices differ in whether they run the program.
    """

    axes: Axes
    least: Axes

    def program(self, jaxpr: Any, inputs: Sequence[Axes], here: Index) -> _Found:
        """Read the equations in order."""
        values = dict.fromkeys(jaxpr.constvars, self.least)
        for variable, along in zip(jaxpr.invars, inputs, strict=True):
            values[variable] = along | self.least

        def read(atom: Any) -> Axes:
            return self.least if isinstance(atom, core.Literal) else values[atom]

        found: dict[Index, list[Axes]] = {}
        for number, equation in enumerate(jaxpr.eqns):
            place = (*here, number)
            found[place] = [read(atom) for atom in equation.invars]
            outputs, inside = self._equation(equation, found[place], place)
            found.update(inside)
            values.update(zip(equation.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars], found

    def _equation(
        self, equation: core.JaxprEqn, given: list[Axes], place: Index
    ) -> _Found:
        bodies, name = bodies_of(equation), equation.primitive.name
        if not bodies:
            return [self._leaf(equation, given)] * len(equation.outvars), {}
        if name == "scan":
            return self._scan(equation, given, place)
        if name == "cond":
            return self._cond(equation, given, place)
        if name == "while":
            return self._while(equation, given, place)
        return self.program(bodies[0].jaxpr, given, (*place, 0))

    def _leaf(self, equation: core.JaxprEqn, given: list[Axes]) -> Axes:
        along = self.least.union(*given)
        params, name = equation.params, equation.primitive.name
        if name in _KEPT:
            return along
        named = params.get("axes", params.get("axis_name", ()))
        named = named if isinstance(named, tuple | list) else (named,)
        mapped = self.axes & {axis for axis in named if isinstance(axis, str)}
        if mapped and name in _ALIKE and params.get("axis_index_groups") is None:
            return along - mapped | self.least
        if mapped:
            return along | mapped
        # What is read from elsewhere, such as a callback gives.
        return self.axes if equation.effects else along

    def _scan(self, equation: core.JaxprEqn, given: list[Axes], place: Index) -> _Found:
        """Read the body until what is carried varies no more than before."""
        first, size = equation.params["num_consts"], equation.params["num_carry"]
        body, inputs = bodies_of(equation)[0].jaxpr, list(given)
        while True:
            outputs, found = self.program(body, inputs, (*place, 0))
            carry = inputs[first : first + size]
            grown = [a | b for a, b in zip(carry, outputs[:size], strict=True)]
            if grown == carry:
                return [*carry, *outputs[size:]], found
            inputs[first : first + size] = grown

    def _cond(self, equation: core.JaxprEqn, given: list[Axes], place: Index) -> _Found:
        """Read branches; what chooses one says which devices may choose others."""
        reading = _Reading(self.axes, self.least | given[0])
        varying, found = [reading.least] * len(equation.outvars), {}
        for part, body in enumerate(bodies_of(equation)):
            outputs, inside = reading.program(body.jaxpr, given[1:], (*place, part))
            found.update(inside)
            varying = [a | b for a, b in zip(varying, outputs, strict=True)]
        return varying, found

    def _while(
        self, equation: core.JaxprEqn, given: list[Axes], place: Index
    ) -> _Found:
        """Read rounds until nothing varies more; devices may end after others."""
        first = equation.params["cond_nconsts"]
        last = first + equation.params["body_nconsts"]
        body, condition = (one.jaxpr for one in bodies_of(equation))
        carry, least = given[last:], self.least
        while True:
            reading = _Reading(self.axes, least)
            asked, found = reading.program(
                condition, [*given[:first], *carry], (*place, 1)
            )
            outputs, inside = reading.program(
                body, [*given[first:last], *carry], (*place, 0)
            )
            grown = [a | b for a, b in zip(carry, outputs, strict=True)]
            wider = least.union(*asked)
            if (grown, wider) == (carry, least):
                return carry, found | inside
            carry, least = grown, wider
