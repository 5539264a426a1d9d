"""What a program makes of weights and constants alone, computed when asked for."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from qcore.adapters.jax.calls import Closed, bound
from qcore.adapters.jax.computed_now import computed_now
from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.kinds import bodies_of
from qcore.adapters.jax.origins import LOOPS, PRIMITIVES, OperandIndex, bodies_with


@dataclass(eq=False)
class Known:
    """A value that can be computed before the program runs.

    Attributes
    ----------
    compute : callable
        Of no arguments, to an array, or its shape where no more is given.
    """

    compute: Callable[[], Any]

    @cached_property
    def value(self) -> Any:
        """The array, or its shape."""
        return self.compute()


def known_operands(
    program: core.ClosedJaxpr, leaves: Sequence[Any], is_weight: Sequence[bool], /
) -> dict[OperandIndex, Known]:
    """Return the operands of products that are made of weights and constants alone.

    Those that differ between the rounds of a loop or between devices are left out. The
    same equations of the same values give the same `Known`.

    Parameters
    ----------
    program
        As it was traced.
    leaves : sequence of array
        Its inputs, or their shapes.
    is_weight : sequence of bool
        Which of them are weights.
    """
    inputs = [
        _given(leaf) if held else None
        for leaf, held in zip(leaves, is_weight, strict=True)
    ]
    walk = _Walk({}, {})
    walk.outputs(Closed(program.jaxpr, program.consts), inputs, ())
    return walk.operands


def _given(leaf: Any) -> Known:
    def array() -> Any:
        if isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        with computed_now(leaf):
            return jnp.asarray(leaf)

    return Known(array)


@dataclass(frozen=True)
class _Walk:
    """A walk through a program.

    Attributes
    ----------
    operands : dict
        What is known at products.
    made : dict
        Literals, and what equations make, by what they are and what they are given.
    """

    operands: dict[OperandIndex, Known]
    made: dict[Any, list[Known]]

    def outputs(
        self, program: Closed, inputs: Sequence[Known | None], index: Index
    ) -> list[Known | None]:
        """Return the outputs of a program that are known, and add its operands."""
        known = dict(zip(program.jaxpr.invars, inputs, strict=True))
        constants = map(_given, program.consts)
        known.update(zip(program.jaxpr.constvars, constants, strict=True))

        def value(atom: Any) -> Known | None:
            return (
                self._literal(atom) if isinstance(atom, core.Literal) else known[atom]
            )

        for number, equation in enumerate(program.jaxpr.eqns):
            given = list(map(value, equation.invars))
            outputs = self._equation(equation, given, (*index, number))
            known.update(zip(equation.outvars, outputs, strict=True))
        return list(map(value, program.jaxpr.outvars))

    def _literal(self, literal: core.Literal) -> Known:
        key = (str(literal.aval), repr(literal.val))
        return self.made.setdefault(key, [Known(lambda: literal.val)])[0]

    def _equation(
        self, equation: core.JaxprEqn, given: list[Known | None], here: Index
    ) -> list[Known | None]:
        name = equation.primitive.name
        unknown: list[Known | None] = [None] * len(equation.outvars)
        if name in PRIMITIVES:
            self.operands.update(
                ((here, i), one) for i, one in enumerate(given) if one is not None
            )
        bodies = list(_bodies(equation, given))
        outputs = [
            self.outputs(body, inputs, (*here, part))
            for part, (body, inputs) in enumerate(bodies)
        ]
        if bodies:
            return unknown if name in LOOPS else outputs[-1]
        if equation.effects:
            return unknown
        held = [one for one in given if one is not None]
        return [*self._made(equation, held)] if len(held) == len(given) else unknown

    def _made(self, equation: core.JaxprEqn, given: list[Known]) -> list[Known]:
        """Return the outputs of an equation whose inputs are known."""
        name = equation.primitive.name
        key = (name, str(equation.params), *map(id, given))
        if key not in self.made:
            whole = Known(lambda: _computed(equation, [one.value for one in given]))
            self.made[key] = [
                Known(partial(_part, whole, number))
                for number in range(len(equation.outvars))
            ]
        return self.made[key]


def _part(whole: Known, number: int) -> Any:
    return whole.value[number]


def _computed(equation: core.JaxprEqn, given: list[Any]) -> list[Any]:
    """Return the outputs of an equation, or their shapes if its inputs have no more."""
    if any(isinstance(value, jax.ShapeDtypeStruct) for value in given):
        outputs: list[Any] = jax.eval_shape(lambda *x: bound(equation, list(x)), *given)
        return outputs
    with computed_now(given):
        return bound(equation, given)


def _bodies(
    equation: core.JaxprEqn, given: list[Known | None]
) -> Iterator[tuple[Closed, list[Known | None]]]:
    """Yield the programs inside of an equation, each with what it knows."""
    same = len(given)
    if equation.primitive.name == "scan":
        same = equation.params["num_consts"]
    elif equation.primitive.name == "shard_map":
        same = 0
    given = [*given[:same], *(None for _ in given[same:])]
    held = bodies_with(equation, given, None)
    yield from zip(bodies_of(equation), (inputs for _, inputs in held), strict=True)
