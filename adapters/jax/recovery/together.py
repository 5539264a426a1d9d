"""Run a program on several calls at once, equation by equation."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp

from qcore.adapters.jax.calls import bound
from qcore.adapters.jax.recovery.flat import Flat, Step
from qcore.errors import QuantError

Compute = Callable[[list[Step], list[list[Any]]], list[list[Any]]]
"""From the step of each call, and its inputs, to its outputs."""

Seen = Callable[[Step, list[Any], list[Any]], None]
"""Told of a step, its inputs and its outputs."""


def check_alike(flats: Sequence[Flat], /) -> None:
    """Raise QuantError unless programs differ in nothing but shapes."""
    for number, flat in enumerate(flats):
        if _plan(flat) != _plan(flats[0]):
            raise QuantError(
                "`f` must compute all calls alike, but for their shapes; the program "
                f"of call {number} differs from that of the first."
            )


def run_together(
    flats: Sequence[Flat], inputs: Sequence[Sequence[Any]], compute: Compute, /
) -> list[list[Any]]:
    """
    Return the outputs of each call.

    Parameters
    ----------
    flats : sequence of Flat
        The program of each call; alike.
    inputs : sequence of sequence of array
        Of each.
    compute : callable
        What is done at each step.
    """
    held = [
        dict(zip(flat.inputs, given, strict=True)) | flat.constants
        for flat, given in zip(flats, inputs, strict=True)
    ]

    def read(call: int, ref: Any) -> Any:
        return held[call][ref] if isinstance(ref, int) else ref.val

    ended = flats[0].ended()
    for number, _ in enumerate(flats[0].steps):
        steps = [flat.steps[number] for flat in flats]
        given = [[read(c, ref) for ref in step.inputs] for c, step in enumerate(steps)]
        for call, outputs in enumerate(compute(steps, given)):
            held[call].update(zip(steps[call].outputs, outputs, strict=True))
            for ref in ended[number]:
                held[call].pop(ref, None)
    return [[read(c, ref) for ref in flat.outputs] for c, flat in enumerate(flats)]


def run_alone(
    flat: Flat, inputs: Sequence[Any], seen: Seen = lambda *_: None, /
) -> list[Any]:
    """Return the outputs of a call, as JAX has them; each step is told when it is done.

    Parameters
    ----------
    flat : Flat
        The program.
    inputs : sequence of array
        Its own.
    seen : callable, optional
        Told of each step, its inputs and its outputs.
    """

    def compute(steps: list[Step], given: list[list[Any]]) -> list[list[Any]]:
        outputs = bound(steps[0].equation, given[0])
        seen(steps[0], given[0], outputs)
        return [outputs]

    return run_together([flat], [list(map(jnp.asarray, inputs))], compute)[0]


def _plan(flat: Flat) -> list[Any]:
    steps = [(step.name, step.index, step.outputs) for step in flat.steps]
    reads = [
        [ref for ref in step.inputs if isinstance(ref, int)] for step in flat.steps
    ]
    return [steps, reads]
