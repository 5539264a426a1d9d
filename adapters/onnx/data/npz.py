"""Samples in an .npz file, read one by one: memory does not depend on their number."""

import re
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np
from numpy.lib import format as npy

from qcore.adapters.onnx.data.inputs import Feed, Input, check_names
from qcore.adapters.onnx.data.picking import KnownFeeds
from qcore.errors import QuantError

NUMBERED = re.compile(r"(.+):(\d+)")
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def open_npz(path: Path, inputs: Sequence[Input]) -> KnownFeeds:
    """Return the samples of a file, none of which is read yet.

    The file holds either an array for each input, whose first axis counts samples, or
    keys such as ``input:7``, each the whole input of one sample in a shape of its own.

    Raises
    ------
    QuantError
        If the file cannot be read or does not fit the inputs.
    """
    if not path.is_file():
        raise QuantError(
            f"`data` must be an .npz file; there is no file {str(path)!r}."
        )
    if not zipfile.is_zipfile(path):
        raise QuantError(f"`data` must be an .npz file; {str(path)!r} is none.")
    with undamaged(path), zipfile.ZipFile(path) as archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist()]
    # The name of an input may itself end in a number, as TensorFlow's `image:0` does.
    stacked = {i.name for i in inputs}.issuperset(keys)
    if not stacked and all(map(NUMBERED.fullmatch, keys)):
        return NumberedFeeds(path, keys)
    check_names(keys, inputs, f"in {str(path)!r}")
    return StackedFeeds(path, inputs)


class NumberedFeeds(KnownFeeds):
    """Samples with a key for each input, in the order of their numbers."""

    def __init__(self, path: Path, keys: Iterable[str]) -> None:
        self.path = path
        self.samples: dict[int, dict[str, str]] = defaultdict(dict)
        for key in keys:
            name, number = key.rsplit(":", 1)
            self.samples[int(number)][name] = key

    def __len__(self) -> int:
        return len(self.samples)

    def pick(self, numbers: Iterable[int]) -> Iterator[Feed]:
        """Yield the samples at these places in the order of their numbers."""
        ordered = [keys for _, keys in sorted(self.samples.items())]
        with undamaged(self.path), np.load(self.path) as arrays:
            for keys in map(ordered.__getitem__, numbers):
                yield {name: _plain(arrays, key) for name, key in keys.items()}


class StackedFeeds(KnownFeeds):
    """Samples along the first axis of one array for each input.

    Sample i is ``x[i:i + 1]``, or ``x[i]`` where that already has the input's rank.
    """

    def __init__(self, path: Path, inputs: Sequence[Input]) -> None:
        self.path, self.inputs = path, inputs
        with undamaged(path), ExitStack() as stack:
            lengths = {name: len(rows) for name, rows in self._open(stack).items()}
        if len(set(lengths.values())) > 1:
            raise QuantError(
                f"arrays of {str(path)!r} must be equally long; got {lengths}."
            )
        self.length = max(lengths.values())

    def __len__(self) -> int:
        return self.length

    def pick(self, numbers: Iterable[int]) -> Iterator[Feed]:
        """Yield these samples; those between are read, too, and dropped."""
        wanted = set(numbers)
        with undamaged(self.path), ExitStack() as stack:
            rows = self._open(stack)
            for number, arrays in enumerate(zip(*rows.values(), strict=True)):
                if number in wanted:
                    yield dict(zip(rows, arrays, strict=True))

    def _open(self, stack: ExitStack) -> dict[str, "_Rows"]:
        archive = stack.enter_context(zipfile.ZipFile(self.path))
        return {
            i.name: _Rows(stack.enter_context(archive.open(f"{i.name}.npy")), i)
            for i in self.inputs
        }


class _Rows:
    """The samples of one array in a stream that is read just once."""

    def __init__(self, stream: IO[bytes], wanted: Input) -> None:
        self.stream = stream
        (length, *extents), fortran, self.dtype = _header(stream, wanted.name)
        if (fortran and extents) or self.dtype.hasobject:
            raise QuantError(
                f"data of {wanted.name!r} must be numbers in C order; save what "
                "numpy.ascontiguousarray gives."
            )
        self.length = length
        batched = wanted.shape is None or len(extents) < len(wanted.shape)
        self.shape = (1, *extents) if batched else tuple(extents)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[np.ndarray]:
        size = prod(self.shape) * self.dtype.itemsize
        for number in range(self.length):
            sample = self.stream.read(size)
            if len(sample) < size:
                raise EOFError(f"it ends in sample {number}")
            yield np.frombuffer(sample, self.dtype).reshape(self.shape)


def _header(stream: IO[bytes], key: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        shape, fortran, dtype = HEADERS[npy.read_magic(stream)](stream)
    except (KeyError, ValueError, TokenError) as error:
        raise QuantError(f"data of {key!r} must be a plain array: {error}") from error
    if min(shape, default=0) < 0:
        raise QuantError(f"data of {key!r} must be a plain array; got shape {shape}.")
    if not shape:
        raise QuantError(f"data of {key!r} must have an axis of samples; it is 0-d.")
    return shape, fortran, dtype


def _plain(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    try:
        return arrays[key]
    except ValueError as error:  # Python objects, which numpy would have to unpickle
        raise QuantError(f"data of {key!r} must be a plain array: {error}") from error


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Say of which file it is what the reader of an archive raises."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise QuantError(f"{str(path)!r} is damaged: {error}") from error
    except (NotImplementedError, RuntimeError) as error:  # encrypted, or packed oddly
        raise QuantError(f"{str(path)!r} cannot be read: {error}") from error
    # The head of an array is no Python, or claims more elements than there can be.
    except (ArithmeticError, MemoryError, SyntaxError, TokenError) as error:
        raise QuantError(f"{str(path)!r} cannot be read: {error}") from error
