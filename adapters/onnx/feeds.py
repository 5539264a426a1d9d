"""Samples to feed a model with, one at a time, from whatever holds them."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from qcore.adapters.onnx.folder import FolderFeeds
from qcore.adapters.onnx.inputs import Feed, Input
from qcore.adapters.onnx.npz import open_npz
from qcore.errors import QuantError


class DataReader(Protocol):
    """What onnxruntime calls a CalibrationDataReader."""

    def get_next(self) -> Feed | None:
        """Return the next sample, or ``None`` after the last."""


Sample: TypeAlias = Feed | Sequence[Any] | Any
"""Arrays by input, or in the order of the inputs, or the array of the only one."""

Data: TypeAlias = str | os.PathLike[str] | Iterable[Sample] | DataReader


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
    # An array is no list of samples: it may well be just one.
    if isinstance(data, Iterable) and not isinstance(data, Mapping | np.ndarray):
        return NamedFeeds(data, inputs)
    raise QuantError(
        "`data` must be an .npz file, a folder, an iterable of samples, or have a "
        f"method get_next; got {type(data).__name__}."
    )


class NamedFeeds:
    """Samples of an iterable, such as a DataLoader of PyTorch, by input."""

    def __init__(self, samples: Iterable[Sample], inputs: Sequence[Input]) -> None:
        self.samples, self.names = samples, [i.name for i in inputs]

    def __iter__(self) -> Iterator[Feed]:
        return map(self._named, self.samples)

    def _named(self, sample: Sample) -> Feed:
        if isinstance(sample, Mapping):
            return sample
        # What follows the inputs, such as labels, is not for the model.
        given = sample if isinstance(sample, list | tuple) else (sample,)
        return dict(zip(self.names, given, strict=False))


def count(feeds: Iterable[Feed]) -> int | None:
    """Return how many samples there are, if that is known before reading them."""
    held = feeds.samples if isinstance(feeds, NamedFeeds) else feeds
    try:
        return len(held) if isinstance(held, Sized) else None
    except TypeError:  # a DataLoader of a stream has a length that it does not know
        return None
