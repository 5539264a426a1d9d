"""A program as one list of equations, those of the calls it makes among them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from jax.extend import core

from qcore.adapters.jax.calls import Closed
from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.kinds import INLINE, bodies_of

Ref = int | core.Literal
"""A value by its number, or a literal."""


@dataclass(frozen=True, eq=False)
class Step:
    """An equation.

    Attributes
    ----------
    index : tuple of int
        Where it is in the program.
    equation
        Of JAX.
    inputs, outputs : tuple
        The values it reads and makes.
    """

    index: Index
    equation: core.JaxprEqn
    inputs: tuple[Ref, ...]
    outputs: tuple[int, ...]

    @property
    def name(self) -> str:
        """That of its primitive."""
        return str(self.equation.primitive.name)


@dataclass(frozen=True, eq=False)
class Flat:
    """A program whose calls are in the place of the equations that make them.

    Attributes
    ----------
    inputs : tuple of int
        Values that it is given.
    constants : dict
        Values that it holds.
    steps : tuple of Step
        In order.
    outputs : tuple
        Values that it gives.
    """

    inputs: tuple[int, ...]
    constants: dict[int, Any]
    steps: tuple[Step, ...]
    outputs: tuple[Ref, ...]

    def ended(self) -> list[list[int]]:
        """Return, for each step, the values that no later one needs."""
        kept = {ref for ref in self.outputs if isinstance(ref, int)}
        found = []
        for step in reversed(self.steps):
            own = {ref for ref in (*step.inputs, *step.outputs) if isinstance(ref, int)}
            found.append(sorted(own - kept))
            kept |= own
        return found[::-1]


def flatten(program: core.ClosedJaxpr, /) -> Flat:
    """Return a program with the bodies of `kinds.INLINE` in the place of the calls."""
    work = _Flattening()
    inputs = work.numbered(program.jaxpr.invars)
    outputs = work.inline(Closed(program.jaxpr, program.consts), inputs, ())
    return Flat(inputs, work.constants, tuple(work.steps), tuple(outputs))


@dataclass
class _Flattening:
    """Numbers values as they come."""

    count: int = 0
    constants: dict[int, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def numbered(self, variables: Sequence[Any]) -> tuple[int, ...]:
        """Return new numbers."""
        first = self.count
        self.count += len(variables)
        return tuple(range(first, self.count))

    def inline(self, program: Closed, inputs: Sequence[Ref], index: Index) -> list[Ref]:
        """Add the equations of a program, and return what it gives."""
        jaxpr = program.jaxpr
        held = self.numbered(jaxpr.constvars)
        self.constants.update(zip(held, program.consts, strict=True))
        known: dict[core.Var, Ref] = dict(zip(jaxpr.invars, inputs, strict=True))
        known.update(zip(jaxpr.constvars, held, strict=True))

        def ref(atom: Any) -> Ref:
            return atom if isinstance(atom, core.Literal) else known[atom]

        for number, equation in enumerate(jaxpr.eqns):
            here, given = (*index, number), tuple(map(ref, equation.invars))
            outputs: Sequence[Ref]
            if equation.primitive.name in INLINE:
                outputs = self.inline(bodies_of(equation)[0], given, (*here, 0))
            else:
                own = self.numbered(equation.outvars)
                self.steps.append(Step(here, equation, given, own))
                outputs = own
            known.update(zip(equation.outvars, outputs, strict=True))
        return list(map(ref, jaxpr.outvars))
