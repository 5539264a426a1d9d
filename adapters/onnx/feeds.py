"""Samples to feed a model with, one at a time, from whatever holds them."""

import os
from collections.abc import Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Protocol, TypeAlias

from qcore.adapters.onnx.inputs import Feed, Input
from qcore.adapters.onnx.npz import open_npz
from qcore.errors import QuantError


class DataReader(Protocol):
    """What onnxruntime calls a CalibrationDataReader."""

    def get_next(self) -> Feed | None:
        """Return the next sample, or ``None`` after the last."""


Data: TypeAlias = str | os.PathLike[str] | Iterable[Feed] | DataReader


def open_feeds(data: Data, inputs: Sequence[Input]) -> Iterable[Feed]:
    """Return the samples in `data`, none of which is read yet.

    Raises
    ------
    QuantError
        If the data is of no known kind, or a file that does not fit the inputs.
    """
    if isinstance(data, str | os.PathLike):
        return open_npz(Path(data), inputs)
    if hasattr(data, "get_next"):
        return iter(data.get_next, None)
    if isinstance(data, Iterable) and not isinstance(data, Mapping):
        return data
    raise QuantError(
        "`data` must be an .npz file, an iterable of dicts of arrays by input, or have "
        f"a method get_next; got {type(data).__name__}."
    )


def count(feeds: Iterable[Feed]) -> int | None:
    """Return how many samples there are, if that is known before reading them."""
    return len(feeds) if isinstance(feeds, Sized) else None
