"""The searches for the least squared error, by Triton."""

from functools import cache
from itertools import pairwise

import torch
from array_api_compat import torch as xp

from qcore.backends.triton.search_density import tails_of
from qcore.backends.triton.search_fine import errors_within
from qcore.backends.triton.search_gain import add_gain, affine_gain, find_below
from qcore.backends.triton.search_grid import by_channel, flags, grid_of, launch
from qcore.formats import Format
from qcore.methods.density import second_moment
from qcore.methods.ends import TIE
from qcore.methods.squared_error import MANY_CODES, is_fine, magnitudes

BLOCK = 512
"""Candidates of a program."""


def search_symmetric(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, fmt: Format, /
) -> torch.Tensor:
    """Return what the kernel of this name does."""
    if is_fine(fmt):
        below, above = (steps * side[-1] for side in magnitudes(fmt))
        errors = errors_within(counts, steps, below, above, allowed.shape)
        return torch.where(allowed, errors, torch.inf)
    gains = torch.zeros_like(allowed, dtype=torch.float64)
    rows, marks = by_channel(steps), flags(allowed)
    for tail, (edges, spans) in _sides(counts, fmt):
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
    return _errors(counts, steps, gains, allowed)


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


@cache
def _cells(
    fmt: Format, device: torch.device
) -> tuple[tuple[torch.Tensor, torch.Tensor], ...]:
    """Return edges of rounding cells and distances of levels, for each of the sides.

    Those are the codes that both signs have, those that the negative values have more,
    and the positive ones.
    """
    below, above = magnitudes(fmt)
    shared = min(len(below), len(above))
    sides = below[:shared], below[shared - 1 :], above[shared - 1 :]
    edges = [[(a + b) / 2 for a, b in pairwise(side)] for side in sides]
    spans = [[b - a for a, b in pairwise(side)] for side in sides]

    def table(values: list[float]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.float64, device=device)

    return tuple(zip(map(table, edges), map(table, spans), strict=True))


def search_affine(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, codes: int, /
) -> torch.Tensor:
    """Return what the kernel of this name does."""
    below = _best_below(counts, steps, allowed, codes)
    return search_ranges(counts, steps, below, allowed, codes)


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
    gains = torch.empty_like(allowed, dtype=torch.float64)
    launch(
        affine_gain,
        grid_of(gains, BLOCK),
        tails_of(counts),
        counts.shape[2],
        *by_channel(steps),
        flags(allowed),
        gains.shape[1],
        codes,
        below.expand(gains.shape).contiguous(),
        gains,
        block=BLOCK,
    )
    return _errors(counts, steps, gains, allowed)


def best_split(
    counts: torch.Tensor,
    step: torch.Tensor,
    reach: torch.Tensor,
    noise: torch.Tensor,
    codes: int,
    /,
) -> torch.Tensor:
    """Return what the kernel of this name does."""
    found = _best_below(counts, step, torch.ones_like(step, dtype=torch.bool), codes)
    below, above = reach[:, :1], reach[:, 1:]
    centred = torch.floor((codes + (below - above) / step) / 2)
    splits = torch.cat([found - 1, found, found + 1, centred, centred + 1], dim=1)
    splits = splits.clamp(0, codes)
    every = torch.ones_like(splits, dtype=torch.bool)
    errors = search_ranges(counts, step.expand(splits.shape), splits, every, codes)
    is_good = errors <= errors.amin(dim=1, keepdim=True) * TIE + noise
    idle = torch.maximum(splits * step - below, (codes - splits) * step - above)
    idle = torch.where(is_good, idle, torch.inf)
    is_chosen = idle <= idle.amin(dim=1, keepdim=True)
    return torch.where(is_chosen, splits, 0.0).amax(dim=1)


def _best_below(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, codes: int
) -> torch.Tensor:
    """Return how many codes are best below zero, where allowed, float64 ``[C, S]``."""
    below = torch.zeros_like(allowed, dtype=torch.float64)
    launch(
        find_below,
        grid_of(below, BLOCK),
        tails_of(counts),
        counts.shape[2],
        *by_channel(steps),
        flags(allowed),
        below.shape[1],
        codes,
        1 << (codes.bit_length() - 1),
        below,
        block=BLOCK,
    )
    return below


def _errors(
    counts: torch.Tensor,
    steps: torch.Tensor,
    gains: torch.Tensor,
    allowed: torch.Tensor,
) -> torch.Tensor:
    """Return the errors of steps that gain so much, infinite where not allowed."""
    moment = second_moment(counts, xp=xp)[:, None]
    errors = (moment - 2 * steps * gains).clamp(min=0)
    return torch.where(allowed, errors, torch.inf)
