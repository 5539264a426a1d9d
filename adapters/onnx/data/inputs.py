"""What a model wants to be fed, and whether a sample is that."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from qcore.errors import QuantError, nearest

Feed: TypeAlias = Mapping[str, np.ndarray]
"""A sample: an array for each input."""


TEXT = np.dtype(str)
"""The type of strings, as files hold them without pickled objects."""

_BFLOAT16 = ir.DataType.BFLOAT16.numpy()


@dataclass(frozen=True)
class Input:
    """An input of a model.

    Attributes
    ----------
    name : str
        Its name.
    dtype : dtype
        The type of its elements.
    shape : tuple or None
        Extents, a name or ``None`` for those that are free; ``None``: any rank.
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | str | None, ...] | None

    def __str__(self) -> str:
        kind = "string" if is_text(self.dtype) else str(self.dtype)
        if self.shape is None:
            return f"{kind} of any shape"
        extents = ("?" if n is None else str(n) for n in self.shape)
        return f"{kind} [{', '.join(extents)}]"

    def conform(self, data: object, place: str) -> np.ndarray:
        """Return data as the array to feed.

        Raises
        ------
        QuantError
            If it has another shape, or a type whose values this input cannot hold.
        """
        try:
            array = np.asarray(data)
            if array.dtype == _BFLOAT16:  # which NumPy knows not for a float
                array = array.astype(np.float32)
        except Exception as error:  # rows of unequal length, a tensor elsewhere
            raise QuantError(
                f"input {self.name!r} must be {self}; got {type(data).__name__}, no "
                f"array, {place}: {error}"
            ) from error
        if is_text(self.dtype) and all(isinstance(part, str) for part in array.flat):
            array = array.astype(TEXT)
        if not (self._takes_type(array.dtype) and self._takes_shape(array.shape)):
            is_odd = array.dtype.hasobject and not array.shape
            what = type(data).__name__ if is_odd else array.dtype
            got = what if is_odd else f"{what} {list(array.shape)}"
            raise QuantError(f"input {self.name!r} must be {self}; got {got} {place}.")
        with np.errstate(over="ignore"):  # infinity is told with its tensor
            return array.astype(self.dtype, copy=False)

    def _takes_type(self, dtype: np.dtype) -> bool:
        if is_text(dtype) or is_text(self.dtype):
            return is_text(dtype) and is_text(self.dtype)
        # Integers are not taken for floats: raw pixels, most likely, by oversight.
        if np.issubdtype(dtype, np.floating):
            return np.issubdtype(self.dtype, np.floating)
        return (
            dtype.kind in "iub"
            and self.dtype.kind in "iub"
            and (np.can_cast(dtype, self.dtype, "safe"))
        )

    def _takes_shape(self, shape: tuple[int, ...]) -> bool:
        return self.shape is None or (
            len(shape) == len(self.shape)
            and all(
                m in {n, None} or isinstance(m, str)
                for n, m in zip(shape, self.shape, strict=True)
            )
        )


def is_text(dtype: np.dtype) -> bool:
    """Return whether elements of a type are strings, of any length."""
    return dtype.kind == TEXT.kind


def inputs_of(graph: ir.Graph) -> list[Input]:
    """Return the inputs of a graph."""
    inputs = []
    for value in graph.inputs:
        # An optional one must be given, too.
        kind = value.type
        if isinstance(kind, ir.OptionalType):
            kind = kind.elem_type
        if value.dtype is None or not isinstance(kind, ir.TensorType):
            raise QuantError(
                f"input {value.name!r} of the model must be a tensor for samples to "
                f"fit; it is {type(value.type).__name__}."
            )
        inputs.append(
            Input(str(value.name), _dtype(value.dtype), _extents(value.shape))
        )
    return inputs


def _dtype(kind: ir.DataType) -> np.dtype:
    """Return the type of what is fed: of bfloat16 a float32 twin of the model runs."""
    if kind is ir.DataType.STRING:
        return TEXT
    return np.dtype(np.float32) if kind is ir.DataType.BFLOAT16 else kind.numpy()


def _extents(shape: ir.Shape | None) -> tuple[int | str | None, ...] | None:
    if shape is None:
        return None
    return tuple(n if isinstance(n, int) else n.value for n in shape)


def conform(
    feed: Mapping[str, object], inputs: Sequence[Input], place: str
) -> dict[str, np.ndarray]:
    """Return a sample as the arrays to feed.

    Raises
    ------
    QuantError
        If it is not a mapping of the model's inputs, all of them, to fitting arrays.
    """
    if not isinstance(feed, Mapping):
        raise QuantError(
            "a sample must be a dict of arrays by input; "
            f"got {type(feed).__name__} {place}."
        )
    check_names(feed, inputs, place)
    return {i.name: i.conform(feed[i.name], place) for i in inputs}


def check_names(names: Iterable[str], inputs: Sequence[Input], place: str) -> None:
    """Refuse data that lacks an input of the model or has one that it lacks."""
    given, wanted = list(names), [i.name for i in inputs]
    for name in given:
        if name not in wanted:
            raise QuantError(
                f"the model has no input {name!r}, which is given {place}; "
                + nearest(name, wanted)
            )
    for name in wanted:
        if name not in given:
            raise QuantError(
                f"input {name!r} of the model must be given; it is not {place}."
            )
