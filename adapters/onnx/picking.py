"""Which samples are used where there are more than needed."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sized
from itertools import islice
from typing import TypeAlias

from qcore.adapters.onnx.inputs import Feed
from qcore.adapters.onnx.kinds import is_whole
from qcore.errors import QuantError

Numbered: TypeAlias = tuple[int, Feed]
"""A sample with its number in the data, which errors name."""


class KnownFeeds(ABC):
    """Samples that are counted before they are read, and read as often as asked."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many there are."""

    @abstractmethod
    def pick(self, numbers: Iterable[int]) -> Iterator[Feed]:
        """Yield the samples of ascending numbers, one at a time."""

    def __iter__(self) -> Iterator[Feed]:
        return self.pick(range(len(self)))


def count(feeds: Iterable[Feed]) -> int | None:
    """Return how many samples there are, if that is known before reading them."""
    try:
        return len(feeds) if isinstance(feeds, Sized) else None
    except TypeError:  # a DataLoader of a stream has a length that it does not know
        return None


def pick_samples(
    feeds: Iterable[Feed], limit: int | None = None
) -> tuple[Iterable[Numbered], int | None]:
    """
    Return at most `limit` samples with their numbers, and how many that will be.

    Known samples are picked evenly, for data often comes sorted, by class say; of a
    stream, which cannot be skipped without being computed, the first are taken.

    Raises
    ------
    QuantError
        If the limit is no positive number.
    """
    if limit is not None and (not is_whole(limit) or limit < 1):
        raise QuantError(
            f"`samples` must be a whole number above 0, or None; got {limit!r}."
        )
    total = count(feeds)
    if limit is None or (total is not None and total <= limit):
        return _noted(enumerate(feeds)), total
    if total is None or not isinstance(feeds, KnownFeeds):
        first = islice(enumerate(feeds), limit)
        return _noted(first), None if total is None else limit
    numbers = [i * total // limit for i in range(limit)]
    return _noted(zip(numbers, feeds.pick(numbers), strict=True)), limit


def _noted(samples: Iterable[Numbered]) -> Iterator[Numbered]:
    """Yield the samples; an error of whoever gives them gets a note of where it was."""
    last = "before the first sample"
    try:
        for number, feed in samples:
            last = f"after sample {number}"
            yield number, feed
    except Exception as error:
        error.add_note(f"It was raised by `data`, {last}.")
        raise
