"""The searches for the least squared error, by Triton.

In the words of `qcore.methods.squared_error`, error(s) = M2 - 2 s G(s) where G is a sum
of J(s b) over edges b, with a zero point the largest of such sums. J is convex, so G
is: between two steps it lies below its chord there, which bounds the error from below.
What lies between two steps whose bound exceeds the least error found is left out.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import torch
from array_api_compat import torch as xp

from qcore.backends.triton.search_density import tails_of
from qcore.backends.triton.search_fine import errors_within
from qcore.backends.triton.search_gain import add_gain, affine_gain, find_below
from qcore.backends.triton.search_grid import TABLES, by_channel, flags, grid_of, launch
from qcore.formats import Format
from qcore.methods.density import second_moment
from qcore.methods.ends import TIE
from qcore.methods.mse import chosen_split
from qcore.methods.squared_error import (
    MANY_CODES,
    NOISE,
    cells_of,
    is_fine,
    magnitudes,
)

BLOCK = 128
"""Candidates of a program, which does nothing where none of them may be the best."""
STRIDE = 16
"""Of the candidates of ascending steps, every so many are tried first."""
MANY = 128
"""Fewer candidates are all tried."""
SLACK = 3 * NOISE
"""Of the second moment: errors that differ by no more may be equally good."""

Gains = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From steps and where they are allowed to what they gain, there."""


def search_symmetric(
    counts: torch.Tensor,
    steps: torch.Tensor,
    allowed: torch.Tensor,
    fmt: Format,
    /,
    *,
    is_search: bool = True,
) -> torch.Tensor:
    """Return what the kernel of this name does, infinity for most of the steps.

    Unless it is no search, but the errors of all steps are asked for.
    """
    if is_fine(fmt):
        below, above = (steps * side[-1] for side in magnitudes(fmt))
        errors = errors_within(counts, steps, below, above, allowed.shape)
        return torch.where(allowed, errors, torch.inf)
    sides = _sides(counts, fmt)

    def gains_of(steps: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        gains = torch.zeros_like(allowed, dtype=torch.float64)
        rows, marks = by_channel(steps), flags(allowed)
        for tail, (edges, spans) in sides:
            launch(
                add_gain,
                grid_of(gains, BLOCK),
                tail,
                tail.stride(0),
                counts.shape[2],
                *rows,
                marks,
                gains.shape[1],
                edges,
                spans,
                len(edges),
                gains,
                block=BLOCK,
            )
        return gains

    return _errors(counts, steps, allowed, gains_of, is_search=is_search)


def _sides(
    counts: torch.Tensor, fmt: Format
) -> list[tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]]:
    """Return what the sum over codes runs over: tails, and what `_cells` has of them.

    Codes that both sides have share their cells, so their counts add up first.
    """
    shared, *own = _cells(fmt, counts.device)
    sides = []
    if len(shared[0]) > 0:
        sides.append((tails_of(counts, is_joint=True)[:, 0], shared))
    if any(len(edges) > 0 for edges, _ in own):
        tails = tails_of(counts)
        sides += [(tails[:, i], own[i]) for i in range(2) if len(own[i][0]) > 0]
    return sides


@lru_cache(TABLES)
def _cells(
    fmt: Format, device: torch.device
) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Return the rounding cells of a format on a device."""
    cells = cells_of(fmt)
    made = partial(torch.tensor, dtype=torch.float64, device=device)
    return tuple((made(edges), made(spans)) for edges, spans in cells)


def search_affine(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, codes: int, /
) -> torch.Tensor:
    """Return what the kernel of this name does, infinity for most of the steps."""
    tails = tails_of(counts)
    if codes > MANY_CODES:
        below = _best_below(tails, steps, allowed, codes)
        return search_ranges(counts, steps, below, allowed, codes)

    def gains_of(steps: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        below = _best_below(tails, steps, allowed, codes)
        return _affine_gains(tails, steps, below, allowed, codes)

    return _errors(counts, steps, allowed, gains_of, is_search=True)


def search_ranges(
    counts: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor,
    allowed: torch.Tensor,
    codes: int,
    /,
) -> torch.Tensor:
    """Return what the kernel of this name does."""
    if codes > MANY_CODES:
        reaches = steps * below, steps * (codes - below)
        errors = errors_within(counts, steps, *reaches, allowed.shape)
        return torch.where(allowed, errors, torch.inf)
    tails = tails_of(counts)

    def gains_of(steps: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
        return _affine_gains(tails, steps, below, allowed, codes)

    return _errors(counts, steps, allowed, gains_of)


def best_split(
    counts: torch.Tensor,
    step: torch.Tensor,
    reach: torch.Tensor,
    noise: torch.Tensor,
    codes: int,
    /,
) -> torch.Tensor:
    """Return what the kernel of this name does."""
    one = torch.ones_like(step, dtype=torch.bool)
    found = _best_below(tails_of(counts), step, one, codes)

    def errors_of(splits: torch.Tensor) -> torch.Tensor:
        every = torch.ones_like(splits, dtype=torch.bool)
        return search_ranges(counts, step.expand(splits.shape), splits, every, codes)

    return chosen_split(found, step, reach, noise, codes, errors_of=errors_of, xp=xp)


def _best_below(
    tails: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, codes: int
) -> torch.Tensor:
    """Return how many codes are best below zero, where allowed, float64 ``[C, S]``."""
    below = torch.zeros_like(allowed, dtype=torch.float64)
    launch(
        find_below,
        grid_of(below, BLOCK),
        tails,
        tails.shape[-1] - 1,
        *by_channel(steps),
        flags(allowed),
        below.shape[1],
        codes,
        1 << (codes.bit_length() - 1),
        below,
        block=BLOCK,
    )
    return below


def _affine_gains(
    tails: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor,
    allowed: torch.Tensor,
    codes: int,
) -> torch.Tensor:
    """Return what codes gain of which so many lie below zero, where allowed."""
    gains = torch.zeros_like(allowed, dtype=torch.float64)
    launch(
        affine_gain,
        grid_of(gains, BLOCK),
        tails,
        tails.shape[-1] - 1,
        *by_channel(steps),
        flags(allowed),
        gains.shape[1],
        codes,
        below.expand(gains.shape).contiguous(),
        gains,
        block=BLOCK,
    )
    return gains


def _errors(
    counts: torch.Tensor,
    steps: torch.Tensor,
    allowed: torch.Tensor,
    gains_of: Gains,
    *,
    is_search: bool = False,
) -> torch.Tensor:
    """Return the errors of steps, infinite where not allowed.

    In a search, of steps in ascending order, also where they cannot be the best.
    """
    moment = second_moment(counts, xp=xp)[:, None]
    if is_search and allowed.shape[1] >= MANY:
        allowed = allowed & _may_be_best(steps, allowed, moment, gains_of)
    errors = (moment - 2 * steps * gains_of(steps, allowed)).clamp(min=0)
    return torch.where(allowed, errors, torch.inf)


def _may_be_best(
    steps: torch.Tensor, allowed: torch.Tensor, moment: torch.Tensor, gains_of: Gains
) -> torch.Tensor:
    """Return which steps lie where the error may be as small as the least found."""
    number = torch.arange(allowed.shape[1], device=allowed.device)
    tried = number[::STRIDE]
    tried = torch.cat([tried, number[-1:]])
    sizes = steps[:, tried].expand(len(allowed), -1)
    gains = gains_of(sizes, torch.ones_like(sizes, dtype=torch.bool))
    errors = (moment - 2 * sizes * gains).clamp(min=0)
    found = torch.where(allowed[:, tried], errors, torch.inf)
    limit = found.amin(dim=1, keepdim=True) * TIE + SLACK * moment

    low, high, gain = sizes[:, :-1], sizes[:, 1:], gains[:, :-1]
    slope = (gains[:, 1:] - gain) / (high - low)
    # The bound is a parabola in the step, with its vertex here.
    step = ((low - gain / slope) / 2).clamp(low, high)
    bound = moment - 2 * step * (gain + slope * (step - low))
    is_ascending = (steps[:, 1:] >= steps[:, :-1]).all(dim=1, keepdim=True)
    may_be_best = ~((bound > limit) & is_ascending)
    return may_be_best[:, number // STRIDE]
