"""The density of `qcore.methods.density`, one row of counts at a time."""

import numpy as np

from qcore.backends.numba.compile import compiled

BLOCK = 64
"""Terms added apart, so that sums of thousands lose little."""


@compiled
def fill_tail(counts: np.ndarray, first: int, last: int, tail: np.ndarray) -> int:
    """Write the integrals beyond the slots of some signs, return the slots in use.

    The signs are those from first to last of counts ``[2, slots]``.
    The columns of ``tail[slots + 1, 4]`` are those of `qcore.methods.density.Tail`,
    side by side, since one edge asks for all of them.
    """
    slots = counts.shape[1]
    used = 0
    mass = excess = square = 0.0
    for column in range(4):
        tail[slots, column] = 0
    for j in range(slots - 1, -1, -1):
        count = counts[first, j]
        for sign in range(first + 1, last + 1):
            count += counts[sign, j]
        h = float(count)
        if used == 0 and h != 0:
            used = j + 1
        square += 2 * excess + mass + h / 3
        excess += mass + h / 2
        mass += h
        tail[j, 0] = h / 2
        tail[j, 1] = mass
        tail[j, 2] = excess
        tail[j, 3] = square
    return used


@compiled
def excess_within(tail: np.ndarray, edge: float) -> float:
    """Return J(b), the integral of (x - b) beyond an edge b inside the slots."""
    slot = int(edge)
    part = edge - slot
    excess: float = tail[slot, 2] - part * (tail[slot, 1] - part * tail[slot, 0])
    return excess


@compiled
def excess_beyond(tail: np.ndarray, used: int, edge: float) -> float:
    """Return J(b) of an edge from 0 on, wherever it lies."""
    return excess_within(tail, edge) if edge < used else 0.0


@compiled
def mass_and_square_beyond(tail: np.ndarray, edge: float) -> tuple[float, float]:
    """Return the integrals of 1 and (x - b)**2 beyond an edge b."""
    slot = int(min(max(edge, 0.0), len(tail) - 1.0))
    part = edge - slot
    half, mass, excess, square = tail[slot]
    curve = square - part * (2 * excess - part * (mass - part * half * (2 / 3)))
    return mass - 2 * part * half, curve


@compiled
def second_moment(counts: np.ndarray) -> float:
    """Return the integral of x**2 over the density of counts ``[2, slots]``."""
    slots = counts.shape[1]
    total = 0.0
    for start in range(0, slots, BLOCK):
        part = other = 0.0
        for j in range(start, min(start + BLOCK, slots)):
            middle = j + 0.5
            square = middle * middle + 1 / 12
            part += counts[0, j] * square
            other += counts[1, j] * square
        total += part + other
    return total
