"""PyTorch: the squared error searches of the methods, by Triton."""

from functools import cache
from itertools import pairwise

import torch
from array_api_compat import torch as xp

from qcore.backends.torch.search_launch import blocks, by_channel, flags, launch
from qcore.backends.triton.search_balance import compare
from qcore.backends.triton.search_density import fill_tails
from qcore.backends.triton.search_gain import add_gain, affine_gain
from qcore.formats import FloatFormat, Format, IntFormat
from qcore.methods.density import second_moment
from qcore.methods.ends import TIE
from qcore.methods.squared_error import magnitudes
from qcore.spec import QuantSpec

SLOTS = 1024
"""Of the slots of a channel, so many are summed at once: more do not fit registers."""
STEPS = 512
"""Candidates of a program."""


def tails_of(counts: torch.Tensor, *, is_joint: bool) -> torch.Tensor:
    """Return the tails of each sign or of both together, ``[C, signs, 4, slots + 1]``."""
    counts = counts.contiguous()
    channels, signs, slots = counts.shape
    sides = 1 if is_joint else signs
    tails = counts.new_empty((channels, sides, 4, slots + 1), dtype=torch.float64)
    block = min(SLOTS, 1 << slots.bit_length())
    grid = channels, sides
    launch(fill_tails, grid, counts, tails, slots, IS_JOINT=is_joint, BLOCK=block)
    return tails


@cache
def _cells(
    fmt: Format, device: torch.device
) -> tuple[tuple[torch.Tensor, torch.Tensor] | None, ...]:
    """Return edges of rounding cells and distances of levels, of sides that have any.

    The sides are the codes that both signs have, those that the negative values have
    more, and the positive ones.
    """
    below, above = magnitudes(fmt)
    shared = min(len(below), len(above))
    sides = below[:shared], below[shared - 1 :], above[shared - 1 :]
    return tuple(
        tuple(
            torch.tensor(values, dtype=torch.float64, device=device)
            for values in (
                [(a + b) / 2 for a, b in pairwise(side)],
                [b - a for a, b in pairwise(side)],
            )
        )
        if len(side) > 1
        else None
        for side in sides
    )


def search_symmetric(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, fmt: Format, /
) -> torch.Tensor:
    """Return what the kernel of this name does, of a format whose codes are few."""
    shape = counts.shape[0], steps.shape[1]
    marks = flags(allowed, shape)
    gains = _symmetric_gains(counts, steps, marks, fmt)
    return _errors(counts, steps, gains, allowed)


def _symmetric_gains(
    counts: torch.Tensor, steps: torch.Tensor, marks: torch.Tensor, fmt: Format
) -> torch.Tensor:
    slots = counts.shape[2]
    channels, candidates = marks.shape
    gains = counts.new_zeros(marks.shape, dtype=torch.float64)
    rows, stride = by_channel(steps)
    shared, *own = _cells(fmt, counts.device)
    sides = []
    if shared is not None:
        sides.append((tails_of(counts, is_joint=True)[:, 0], shared))
    if any(side is not None for side in own):
        tails = tails_of(counts, is_joint=False)
        sides += [(tails[:, i], side) for i, side in enumerate(own) if side is not None]
    for tail, (edges, spans) in sides:
        launch(
            add_gain,
            (blocks(candidates, STEPS), channels),
            tail,
            tail.stride(0),
            slots,
            rows,
            stride,
            marks,
            candidates,
            edges,
            spans,
            len(edges),
            gains,
            BLOCK=STEPS,
        )
    return gains


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


def search_affine(
    counts: torch.Tensor, steps: torch.Tensor, allowed: torch.Tensor, codes: int, /
) -> torch.Tensor:
    """Return what the kernel of this name does, of codes that are few."""
    gains, _ = _affine_gains(counts, steps, None, allowed, codes)
    return _errors(counts, steps, gains, allowed)


def search_ranges(
    counts: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor,
    allowed: torch.Tensor,
    codes: int,
    /,
) -> torch.Tensor:
    """Return what the kernel of this name does, of codes that are few."""
    gains, _ = _affine_gains(counts, steps, below, allowed, codes)
    return _errors(counts, steps, gains, allowed)


def best_split(
    counts: torch.Tensor,
    step: torch.Tensor,
    reach: torch.Tensor,
    noise: torch.Tensor,
    codes: int,
    /,
) -> torch.Tensor:
    """Return what the kernel of this name does, of codes that are few."""
    one = torch.ones_like(step, dtype=torch.bool)
    _, found = _affine_gains(counts, step, None, one, codes)
    below, above = reach[:, :1], reach[:, 1:]
    centred = torch.floor((codes + (below - above) / step) / 2)
    splits = torch.cat([found - 1, found, found + 1, centred, centred + 1], dim=1)
    splits = splits.clamp(0, codes)
    every = torch.ones_like(splits, dtype=torch.bool)
    steps = step.expand(splits.shape)
    errors = search_ranges(counts, steps, splits, every, codes)
    is_good = errors <= errors.amin(dim=1, keepdim=True) * TIE + noise
    idle = torch.maximum(splits * step - below, (codes - splits) * step - above)
    idle = torch.where(is_good, idle, torch.inf)
    is_chosen = idle <= idle.amin(dim=1, keepdim=True)
    return torch.where(is_chosen, splits, 0.0).amax(dim=1)


def _affine_gains(
    counts: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor | None,
    allowed: torch.Tensor,
    codes: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return gains and how many codes lie below zero: as given, or else the best."""
    channels, _, slots = counts.shape
    candidates = steps.shape[1]
    shape = channels, candidates
    marks = flags(allowed, shape)
    rows, stride = by_channel(steps)
    gains = counts.new_zeros(shape, dtype=torch.float64)
    splits = (
        torch.zeros_like(gains) if below is None else below.expand(shape).contiguous()
    )
    launch(
        affine_gain,
        (blocks(candidates, STEPS), channels),
        tails_of(counts, is_joint=False),
        slots,
        rows,
        stride,
        marks,
        candidates,
        codes,
        1 << (codes.bit_length() - 1),
        splits,
        gains,
        IS_SEARCHED=below is None,
        BLOCK=STEPS,
    )
    return gains, splits


def is_balanced(
    counts: torch.Tensor, below: torch.Tensor, above: torch.Tensor, spec: QuantSpec, /
) -> torch.Tensor:
    """Return what the kernel of this name does."""
    fmt = spec.format
    if spec.symmetric:
        steps = above * (1 / fmt.max)
    else:
        assert isinstance(fmt, IntFormat)  # QuantSpec refuses asymmetric floats
        steps = (below + above) * (1 / (fmt.qmax - fmt.qmin))
    channels, _, slots = counts.shape
    windows = steps.shape[1]
    shape = channels, windows
    balanced = counts.new_empty(shape, dtype=torch.uint8)
    tails = tails_of(counts, is_joint=False)
    is_float = isinstance(fmt, FloatFormat)
    errors = tails
    if is_float:
        every = torch.ones(shape, dtype=torch.bool, device=counts.device)
        errors = search_symmetric(counts, steps, every, fmt)
    launch(
        compare,
        (blocks(windows, STEPS), channels),
        tails,
        slots,
        *by_channel(steps),
        *by_channel(below),
        *by_channel(above),
        errors,
        windows,
        balanced,
        HAS_ERRORS=is_float,
        BLOCK=STEPS,
    )
    return balanced.view(torch.bool)
