"""Parts of one run, as files of statistics note them: told apart, and counted once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from qcore.errors import ShardError


@dataclass(frozen=True)
class Shards:
    """
    Which parts of a run some statistics are of.

    Parameters
    ----------
    run : str
        A digest of all that the parts of a run share, such as model and options.
    of : int
        How many parts the run has.
    numbers : tuple of int
        Those that are in the statistics, ascending, from 1.

    Raises
    ------
    ShardError
        If a number is not from 1 to `of`, or they do not ascend.
    """

    run: str
    of: int
    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        is_whole = all(type(n) is int for n in (self.of, *self.numbers))
        in_order = is_whole and list(self.numbers) == sorted(set(self.numbers))
        if not (in_order and all(1 <= n <= self.of for n in self.numbers)):
            raise ShardError(
                f"shards must be numbers from 1 to {self.of}, ascending; "
                f"got {self.numbers}."
            )

    def __str__(self) -> str:
        return named(self.numbers, self.of)

    @property
    def missing(self) -> tuple[int, ...]:
        """Those of the run that are not in the statistics."""
        return tuple(sorted(set(range(1, self.of + 1)).difference(self.numbers)))

    def joined(self, other: "Shards", /) -> "Shards":
        """
        Return the parts of both.

        Raises
        ------
        ShardError
            If they are of two runs, or share a part.
        """
        if self.of != other.of:
            raise ShardError(
                f"shards must be of one run; one has {self.of} and another {other.of}."
            )
        if self.run != other.run:
            raise ShardError(
                "shards must be of one run: the same model, samples, options and "
                "versions; they are of two."
            )
        if twice := sorted(set(self.numbers).intersection(other.numbers)):
            raise ShardError(f"{named(twice, self.of)} must be given once; got twice.")
        numbers = tuple(sorted((*self.numbers, *other.numbers)))
        return Shards(self.run, self.of, numbers)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def of_json(cls, given: Mapping[str, Any], /) -> "Shards":
        """Return what `to_json` gave.

        Raises
        ------
        LookupError, TypeError, ValueError
            If it is anything else.
        """
        return cls(str(given["run"]), given["of"], tuple(given["numbers"]))


def named(numbers: tuple[int, ...] | list[int], of: int, /) -> str:
    """Return shards in words: ``shard 2/8``, ``shards 1-3, 5 of 8``."""
    if len(numbers) == 1:
        return f"shard {numbers[0]}/{of}"
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    return f"shards {', '.join('-'.join(map(str, span)) for span in spans)} of {of}"
