"""Samples to feed a model with, one at a time, from whatever holds them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from qcore.adapters.onnx.data.folder import FolderFeeds
from qcore.adapters.onnx.data.images import ImageFolder
from qcore.adapters.onnx.data.inputs import Feed, Input
from qcore.adapters.onnx.data.npz import open_npz
from qcore.adapters.onnx.data.picking import KnownFeeds
from qcore.adapters.onnx.data.texts import TextFile
from qcore.errors import QuantError


class DataReader(Protocol):
    """What onnxruntime calls a CalibrationDataReader."""

    def get_next(self) -> Feed | None:
        """Return the next sample, or ``None`` after the last."""


Sample: TypeAlias = Feed | Sequence[Any] | Any
"""Arrays by input, or in the order of the inputs, or the array of the only one."""


Data: TypeAlias = (
    str | os.PathLike[str] | ImageFolder | TextFile | Iterable[Sample] | DataReader
)


def open_feeds(data: Data, inputs: Sequence[Input]) -> Iterable[Feed]:
    """Return the samples in `data`, none of which is read yet.

    Raises
    ------
    QuantError
        If the data is of no known kind, or a file that does not fit the inputs.
    """
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        return FolderFeeds(path, inputs) if path.is_dir() else open_npz(path, inputs)
    if hasattr(data, "get_next"):
        return iter(data.get_next, None)
    if isinstance(data, ImageFolder | TextFile):
        return data.feeds(inputs)
    # An array is no list of samples: it may well be just one.
    if not (isinstance(data, Mapping) or hasattr(data, "__array__")):
        if hasattr(data, "__getitem__") and isinstance(data, Sized):
            return ListedFeeds(data, inputs)
        if isinstance(data, Iterable):
            return StreamedFeeds(data, inputs)
    raise QuantError(
        "`data` must be an .npz file, a folder, an iterable of samples, or have a "
        f"method get_next; got {type(data).__name__}."
    )


class ListedFeeds(KnownFeeds):
    """Samples of a list, or of a Dataset of PyTorch, by input."""

    def __init__(self, samples: Any, inputs: Sequence[Input]) -> None:
        self.samples, self.inputs = samples, inputs

    def __len__(self) -> int:
        return len(self.samples)

    def pick(self, numbers: Iterable[int]) -> Iterator[Feed]:
        """Yield the samples of these numbers."""
        return (by_input(self.samples[n], self.inputs) for n in numbers)

    def only(self, numbers: Iterable[int]) -> "ListedFeeds":
        """Return them alone, if they are in memory."""
        if not isinstance(self.samples, list | tuple):
            return self
        return ListedFeeds(_Few(self.samples, numbers), self.inputs)


class _Few:
    """Some of a list's samples, at the places that they have in it."""

    def __init__(self, samples: Sequence[Any], numbers: Iterable[int]) -> None:
        self.total, self.held = len(samples), {n: samples[n] for n in numbers}

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, number: int) -> Any:
        return self.held[number]


class StreamedFeeds:
    """Samples of an iterable, such as a DataLoader of PyTorch, by input."""

    def __init__(self, samples: Iterable[Sample], inputs: Sequence[Input]) -> None:
        self.samples, self.inputs = samples, inputs

    def __len__(self) -> int:
        return len(self.samples)  # type: ignore[arg-type]  # TypeError if unknown

    def __iter__(self) -> Iterator[Feed]:
        return (by_input(sample, self.inputs) for sample in self.samples)


def by_input(sample: Sample, inputs: Sequence[Input]) -> Feed:
    """Return a sample, which may be a sequence or an array, as a mapping."""
    if isinstance(sample, Mapping):
        return sample
    # What follows the inputs, such as labels, is not for the model.
    given = sample if isinstance(sample, list | tuple) else (sample,)
    return dict(zip([i.name for i in inputs], given, strict=False))
