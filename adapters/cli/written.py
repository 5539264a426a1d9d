"""What is told of a file of statistics that was written."""

from collections.abc import Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from qcore.adapters.cli.units import size
from qcore.shards import Shards


@dataclass(frozen=True)
class Written:
    """A file of statistics.

    Attributes
    ----------
    output : str
        Its path.
    tensors : int
        Of how many tensors it tells.
    bytes : int
        Its size.
    shards : tuple of int or None
        Which parts of a run it is of.
    of : int or None
        How many parts the run has.
    """

    output: str
    tensors: int
    bytes: int
    shards: tuple[int, ...] | None
    of: int | None

    @classmethod
    def of_file(cls, path: Path, statistics: Sized, shards: Shards | None) -> Self:
        """Return what is told of statistics in a file."""
        numbers, of = (shards.numbers, shards.of) if shards else (None, None)
        return cls(str(path), len(statistics), path.stat().st_size, numbers, of)

    def __str__(self) -> str:
        of = ""
        if self.shards is not None and self.of is not None:
            of = f" of {Shards('', self.of, self.shards)}"
        return f"{self.output}: {self.tensors} tensors{of}; {size(self.bytes)}."
