"""PyTorch: the errors of steps finer than slots, by Triton, and what they tell."""

import torch

from qcore.backends.torch.search_launch import by_channel, grid_of, launch
from qcore.backends.torch.search_tails import tails_of
from qcore.backends.triton.search_fine import compare, fine_errors

BLOCK = 512
"""Candidates of a program."""


def errors_within(
    counts: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor,
    above: torch.Tensor,
    shape: tuple[int, int],
) -> torch.Tensor:
    """Return the errors of ranges, float64 of a shape ``[C, S]``.

    Steps and how far they reach below and above zero are given in slots.
    """
    errors = counts.new_empty(shape, dtype=torch.float64)
    launch(
        fine_errors,
        grid_of(errors, BLOCK),
        tails_of(counts),
        counts.shape[2],
        *by_channel(steps),
        *by_channel(below),
        *by_channel(above),
        errors.shape[1],
        errors,
        BLOCK=BLOCK,
    )
    return errors


def is_balanced(
    counts: torch.Tensor,
    steps: torch.Tensor,
    below: torch.Tensor,
    above: torch.Tensor,
    errors: torch.Tensor | None,
) -> torch.Tensor:
    """Return whether windows are balanced, by whole errors if they are given."""
    shape = counts.shape[0], steps.shape[1]
    balanced = counts.new_empty(shape, dtype=torch.uint8)
    launch(
        compare,
        grid_of(balanced, BLOCK),
        tails_of(counts),
        counts.shape[2],
        *by_channel(steps),
        *by_channel(below),
        *by_channel(above),
        balanced.shape[1],
        steps if errors is None else errors,
        balanced,
        HAS_ERRORS=errors is not None,
        BLOCK=BLOCK,
    )
    return balanced.view(torch.bool)
