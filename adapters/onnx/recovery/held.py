"""Tensors of many samples, held until nobody needs them, on disk if memory is short."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from qcore.adapters.onnx.argument_kinds import is_whole
from qcore.errors import QuantError
from qcore.files import naming

MEMORY = 1 << 30
"""Bytes that are held in memory at once."""


class Held:
    """Arrays by sample and name.

    Parameters
    ----------
    folder : path
        Where those go that memory has no room for.
    memory : int
        Bytes to hold in memory.
    """

    def __init__(self, folder: Path, memory: int) -> None:
        self.folder, self.memory = folder, memory
        self.samples: list[dict[str, np.ndarray | Path]] = []
        self.numbers: list[int] = []
        self._files = 0

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for sample, arrays in enumerate(self.samples):
            yield {name: self.get(sample, name) for name in arrays}

    def numbered(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield each sample with the number that it has in the data."""
        return zip(self.numbers, self, strict=True)

    def add_sample(
        self, arrays: Mapping[str, np.ndarray], number: int | None = None
    ) -> None:
        """Hold the inputs of one more sample, whose number in the data may be told."""
        self.numbers.append(len(self) if number is None else number)
        self.samples.append({})
        for name, array in arrays.items():
            self.put(len(self.samples) - 1, name, array)

    def put(self, sample: int, name: str, array: np.ndarray) -> None:
        """Hold an array."""
        self.drop(sample, name)
        if array.nbytes <= self.memory:
            self.memory -= array.nbytes
            self.samples[sample][name] = array
            return
        path = self.folder / f"{self._files}.npy"
        self._files += 1
        with naming(path):
            np.save(path, array)
        self.samples[sample][name] = path

    def get(self, sample: int, name: str) -> np.ndarray:
        """Return an array that is held."""
        held = self.samples[sample][name]
        array: np.ndarray = np.load(held) if isinstance(held, Path) else held
        return array

    def keep(self, names: Collection[str]) -> None:
        """Let go of all but these."""
        for sample, arrays in enumerate(self.samples):
            for name in [name for name in arrays if name not in names]:
                self.drop(sample, name)

    def drop(self, sample: int, name: str) -> None:
        """Let go of an array, if it is held."""
        held = self.samples[sample].pop(name, None)
        if isinstance(held, Path):
            held.unlink()
        elif held is not None:
            self.memory += held.nbytes


@contextmanager
def holding(memory: int) -> Iterator[Held]:
    """Give room for tensors, which is free again afterwards.

    Raises
    ------
    TypeError, QuantError
        If the memory is no number of bytes.
    """
    if not is_whole(memory):
        raise TypeError(
            f"`memory` must be a number of bytes; got {type(memory).__name__}."
        )
    if memory < 0:
        raise QuantError(f"`memory` must be at least 0 bytes; got {memory}.")
    with TemporaryDirectory() as folder:
        yield Held(Path(folder), memory)
