"""Samples of a data loader of PPQ: so many steps, from the start again at its end."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from qcore.adapters.onnx.argument_kinds import is_whole
from qcore.errors import QuantError

LEAST_STEPS, MOST_STEPS = 8, 512
"""What PPQ takes; fewer samples say too little, and more tell little else."""


class Cycled:
    """
    Samples of a data loader, from its start again until there are enough.

    Parameters
    ----------
    loader : iterable
        Of samples; one that can be iterated just once is held in memory, so far as it
        is needed.
    steps : int
        How many samples, 8 to 512.
    collate_fn : callable, optional
        Makes of a sample what the model is fed.

    Raises
    ------
    QuantError
        If it is no iterable, or the number is not in these bounds.
    """

    def __init__(
        self,
        loader: Iterable[Any],
        steps: int,
        collate_fn: Callable[[Any], Any] | None = None,
    ) -> None:
        if not is_whole(steps) or not LEAST_STEPS <= steps <= MOST_STEPS:
            raise QuantError(
                f"`calib_steps` must be from {LEAST_STEPS} to {MOST_STEPS}; "
                f"got {steps!r}."
            )
        if not isinstance(loader, Iterable):
            raise QuantError(
                "`dataloader` must be an iterable of samples; "
                f"got {type(loader).__name__}."
            )
        is_stream = isinstance(loader, Iterator)
        self.loader = list(islice(loader, steps)) if is_stream else loader
        self.steps, self.collate_fn = steps, collate_fn

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Any]:
        left = self.steps
        while left:
            before = left
            for sample in islice(self.loader, left):
                left -= 1
                yield sample if self.collate_fn is None else self.collate_fn(sample)
            if left == before:
                return
