"""How many bits each layer gets, so that all together lose least for their size.

"HAWQ-V3" (Yao et al., arXiv:2011.10680) solves this as an integer program; here it is
solved exactly by dynamic programming over (layer, bits): of the ways to choose bits for
the first layers only those are kept that no other beats in both size and error. Those
that cannot become the best are left out: each layer's errors, made convex, bound what
the remaining layers must lose.
"""

from bisect import bisect_right
from collections.abc import Mapping
from heapq import merge
from itertools import pairwise
from math import isfinite
from typing import NamedTuple


class _Choice(NamedTuple):
    """Bits chosen for the first layers."""

    size: int
    error: float
    bits: int
    before: "_Choice | None"


class _Bound(NamedTuple):
    """What some layers must lose, piecewise linear in their size."""

    sizes: list[int]
    errors: list[float]

    def at(self, size: int) -> float:
        """Return a lower bound of the error in a size that is not too small."""
        i = bisect_right(self.sizes, size) - 1
        if i + 1 == len(self.sizes):
            return self.errors[-1]
        part = (size - self.sizes[i]) / (self.sizes[i + 1] - self.sizes[i])
        return self.errors[i] + part * (self.errors[i + 1] - self.errors[i])


_SLACK = 1e-12
"""Of the largest error: errors are added in different orders."""


def mixed_precision(
    errors: Mapping[str, Mapping[int, float]], sizes: Mapping[str, int], budget: float
) -> dict[str, int]:
    """
    Return the bits of each layer with the least total error in a budget.

    Parameters
    ----------
    errors : mapping
        From layers to mappings from bits to the error that a layer causes with them, in
        units that add up: such as squared errors of the model's output, or of the
        layer's own over its power.
    sizes : mapping
        From layers to numbers of weights.
    budget : float
        Bits for all weights together: an average times ``sum(sizes.values())``, or
        eight times a number of bytes.

    Returns
    -------
    dict
        From layers to bits, in the order of `errors`. Of equal errors the smallest
        size.

    Raises
    ------
    ValueError
        If names differ, a layer has no choice, an error or a size is negative or not
        finite, or the budget is too small for the fewest bits.
    """
    _check(errors, sizes)
    least = sum(min(of) * sizes[name] for name, of in errors.items())
    if not least <= budget:
        raise ValueError(
            f"`budget` must be at least {least} bits, of the fewest bits for each "
            f"layer; got {budget}."
        )
    points = [
        sorted((bits * sizes[name], error, bits) for bits, error in of.items())
        for name, of in errors.items()
    ]
    bounds = [_bound(points[i:]) for i in range(len(points) + 1)]
    whole = bounds[0]
    reached = [e for s, e in zip(whole.sizes, whole.errors, strict=True) if s <= budget]
    # What choices on the convex outlines lose.
    worst = min(reached) + _SLACK * whole.errors[0]
    states: list[_Choice] = [_Choice(0, 0.0, 0, None)]
    for layer, rest in zip(points, bounds[1:], strict=True):
        ways = [
            [_Choice(s.size + size, s.error + error, bits, s) for s in states]
            for size, error, bits in layer
        ]
        states = []
        for way in merge(*ways, key=lambda choice: choice[:2]):
            left = budget - way.size
            if left < rest.sizes[0]:
                break
            if states and way.error >= states[-1].error:
                continue
            if way.error + rest.at(int(left)) <= worst:
                states.append(way)
    chosen: list[int] = []
    state: _Choice | None = states[-1]
    while state is not None and state.before is not None:
        chosen.append(state.bits)
        state = state.before
    return dict(zip(errors, reversed(chosen), strict=True))


def _check(errors: Mapping[str, Mapping[int, float]], sizes: Mapping[str, int]) -> None:
    """Refuse what no choice can be made from."""
    if different := sorted(set(errors) ^ set(sizes)):
        raise ValueError(
            f"`errors` and `sizes` must be of the same layers; {different[0]!r} is in "
            "one of them."
        )
    for name, of in errors.items():
        if not of:
            raise ValueError(f"`errors` must have a choice of bits for {name!r}.")
        for what, number in (*of.items(), ("size", sizes[name])):
            if not (isfinite(number) and number >= 0):
                raise ValueError(
                    f"`errors` and `sizes` must be finite and not negative; got "
                    f"{number} for {name!r} ({what})."
                )


def _bound(layers: list[list[tuple[int, float, int]]]) -> _Bound:
    """Return what layers must lose if parts of choices could be mixed."""
    sizes = [sum(points[0][0] for points in layers)]
    errors = [sum(points[0][1] for points in layers)]
    steps = [step for points in layers for step in _outline(points)]
    for size, gain in sorted(steps, key=lambda step: step[1] / step[0], reverse=True):
        sizes.append(sizes[-1] + size)
        errors.append(errors[-1] - gain)
    return _Bound(sizes, errors)


def _outline(points: list[tuple[int, float, int]]) -> list[tuple[int, float]]:
    """Return steps along the lower convex outline while errors fall: size and gain."""
    outline: list[tuple[int, float]] = []
    for size, error, _ in points:
        if outline and error >= outline[-1][1]:
            continue
        while len(outline) > 1 and _slope(outline[-2], outline[-1]) >= _slope(
            outline[-1], (size, error)
        ):
            outline.pop()
        outline.append((size, error))
    return [
        (after[0] - before[0], before[1] - after[1])
        for before, after in pairwise(outline)
    ]


def _slope(before: tuple[int, float], after: tuple[int, float]) -> float:
    return (after[1] - before[1]) / (after[0] - before[0])
