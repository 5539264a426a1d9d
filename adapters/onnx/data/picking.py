"""Which samples are used where there are more than needed."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, TypeAlias

from qcore.adapters.onnx.argument_kinds import is_whole
from qcore.adapters.onnx.data.inputs import Feed
from qcore.errors import QuantError

Numbered: TypeAlias = tuple[int, Feed]
"""A sample with its number in the data, which errors name."""


Shard: TypeAlias = tuple[int, int]
"""A part of the samples, from 1, and how many parts there are."""

WHOLE: Shard = (1, 1)


class KnownFeeds(ABC):
    """Samples that are counted before they are read, and read as often as asked."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many there are."""

    @abstractmethod
    def pick(self, numbers: Iterable[int]) -> Iterator[Feed]:
        """Yield the samples of ascending numbers, one at a time."""

    def only(self, numbers: Iterable[int]) -> "KnownFeeds":
        """Return what can pick these, to be sent to another process."""
        del numbers
        return self

    def __iter__(self) -> Iterator[Feed]:
        return self.pick(range(len(self)))


def count(feeds: Iterable[Feed]) -> int | None:
    """Return how many samples there are, if that is known before reading them."""
    try:
        return len(feeds) if isinstance(feeds, Sized) else None
    except TypeError:  # a DataLoader of a stream has a length that it does not know
        return None


def check_shard(shard: Any, /) -> Shard:
    """
    Return a shard.

    Raises
    ------
    QuantError
        If it is not a number and how many there are.
    """
    match shard:
        case (number, of) if is_whole(number) and is_whole(of) and 1 <= number <= of:
            return int(number), int(of)
    raise QuantError(
        f"`shard` must be a number from 1, and how many there are; got {shard!r}."
    )


def pick_samples(
    feeds: Iterable[Feed],
    limit: int | None = None,
    *,
    shard: Shard = WHOLE,
    start: int = 0,
) -> tuple[Iterable[Numbered], int | None]:
    """
    Return at most `limit` samples with their numbers, and how many that will be.

    Known samples are picked evenly, for data often comes sorted, by class say; of a
    stream, which cannot be skipped without being computed, the first are taken.

    Parameters
    ----------
    feeds : iterable of samples
        All there are.
    limit : int, optional
        How many to pick.
    shard : (int, int), optional
        Which part of the picked ones to return, from 1, and of how many.
    start : int, optional
        How many of these to pass over.

    Raises
    ------
    QuantError
        If the limit is no positive number, or a part of a stream is asked for.
    """
    if limit is not None and (not is_whole(limit) or limit < 1):
        raise QuantError(
            f"`samples` must be a whole number above 0, or None; got {limit!r}."
        )
    total = count(feeds)
    if isinstance(feeds, KnownFeeds):
        numbers = shard_numbers(feeds, limit, shard)[start:]
        return _noted(zip(numbers, feeds.pick(numbers), strict=True)), len(numbers)
    if shard != WHOLE:
        shareable(feeds)
    used = total if limit is None or total is None else min(total, limit)
    first = islice(enumerate(feeds), start, limit)
    return _noted(first), None if used is None else max(used - start, 0)


def shareable(feeds: Iterable[Feed]) -> KnownFeeds:
    """
    Return samples of which any part can be read.

    Raises
    ------
    QuantError
        If they are a stream.
    """
    if not isinstance(feeds, KnownFeeds):
        raise QuantError(
            "`data` in shards must be a file, a folder or a list, whose samples are "
            "counted before they are read; got a stream."
        )
    return feeds


def shard_numbers(
    feeds: KnownFeeds, limit: int | None, shard: Shard = WHOLE
) -> Sequence[int]:
    """Return the numbers of the samples in a part of those that are picked."""
    total = len(feeds)
    numbers: Sequence[int] = range(total)
    if limit is not None and limit < total:
        numbers = [i * total // limit for i in range(limit)]
    part, of = shard
    return numbers[(part - 1) * len(numbers) // of : part * len(numbers) // of]


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
