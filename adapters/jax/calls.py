"""An equation that holds programs, and what is known when it is run."""

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

    def reduced(self, state: State, call: "Call", axes: tuple[str, ...]) -> State:
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
    place : tuple of int
        Its `interpreter.Index`.
    bodies : sequence of callable
        The programs it holds, see `kinds.bodies_of`.
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
    place: tuple[int, ...]
    bodies: Sequence[Body]
    is_visited: Sequence[bool]
    inputs: list[Any]
    state: State
    reduction: Reduction

    @property
    def params(self) -> Mapping[str, Any]:
        """Those of the equation."""
        return self.equation.params


@dataclass(frozen=True)
class Closed:
    """A program and its constants."""

    jaxpr: core.Jaxpr
    consts: Sequence[Any]


def _vary(inputs: list[Any]) -> bool:
    return any(getattr(jax.typeof(x), "vma", ()) for x in inputs)


def bound(equation: core.JaxprEqn, inputs: list[Any], /) -> list[Any]:
    """Return the outputs of an equation as JAX has them."""
    given = equation.primitive.get_bind_params(equation.params)
    # Before JAX 0.10, functions apart.
    functions, params = given if isinstance(given, tuple) else ((), given)
    if equation.primitive.name == "psum_invariant" and not _vary(inputs):
        # Of a map that checks what varies, within one that does not.
        return list(jax.lax.psum(inputs, params["axes"]))
    found = equation.primitive.bind(*functions, *inputs, **params)
    return list(found) if equation.primitive.multiple_results else [found]
