"""Weights as codes, which can be laid out anew before they are dequantized."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import onnx_ir as ir

from qcore import FloatFormat, PerBlock, QParams, quantize
from qcore.adapters.onnx_formats import OnnxType, type_of
from qcore.errors import QuantError


@dataclass(frozen=True, eq=False)
class Codes:
    """
    What DequantizeLinear makes an array of.

    Attributes
    ----------
    name : str
        Of the array.
    codes : array
        In a dtype that ONNX has.
    scale, zero_point : array
        Of the rank of the codes, or a single number; zero points in the dtype of codes.
    block : tuple of int or None
        Axis and size of blocks that have a scale each.
    dtype : dtype
        Of the array.
    """

    name: str
    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    block: tuple[int, int] | None = None
    dtype: Any = np.float32

    @classmethod
    def of(cls, x: Any, qparams: QParams, name: str, /) -> "Codes":
        """Return the codes of an array."""
        fmt, granularity = qparams.spec.format, qparams.spec.granularity
        dtype = dtype_of(type_of(fmt))
        codes = np.asarray(quantize(x, qparams))
        # Those of float formats are bit patterns, a byte each.
        is_float = isinstance(fmt, FloatFormat)
        stored = codes.view(dtype) if is_float else codes.astype(dtype)
        scale = np.asarray(qparams.scale, np.float32)
        block = None
        if isinstance(granularity, PerBlock) and scale.size > 1:
            block = (granularity.axis % x.ndim, granularity.size)
        zero_point = np.asarray(qparams.zero_point).astype(dtype)
        return cls(name, stored, scale, zero_point, block, np.dtype(x.dtype))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the codes."""
        return self.codes.shape

    @property
    def varying(self) -> tuple[int, ...]:
        """The axes along which scales differ."""
        return tuple(axis for axis, n in enumerate(self.scale.shape) if n != 1)

    @property
    def attributes(self) -> dict[str, int]:
        """Of DequantizeLinear."""
        if self.block:
            return {"axis": self.block[0], "block_size": self.block[1]}
        return {"axis": self.varying[0]} if self.varying else {}

    def flat(self, x: np.ndarray) -> np.ndarray:
        """Return scales or zero points in the shape that ONNX wants."""
        if self.block:
            return x
        if len(self.varying) > 1:
            raise QuantError(
                f"scales of {self.name!r} must lie along one axis to be exported; "
                f"got the shape {self.scale.shape}."
            )
        return x.reshape(-1 if self.varying else ())

    def transposed(self, axes: tuple[int, ...]) -> "Codes":
        """Return the codes of the transposed array."""

        def turned(x: np.ndarray) -> np.ndarray:
            return x.transpose(axes) if x.ndim else x

        block = self.block and (axes.index(self.block[0]), self.block[1])
        return self._laid_out(turned, turned, block)

    def reshaped(self, shape: tuple[int, ...]) -> "Codes | None":
        """Return the codes of the reshaped array, or None if its scales have no place.

        They have one where axes that become one all have scales of their own, or none.
        """
        if self.scale.size == 1:
            return self._laid_out(
                lambda x: x.reshape(shape), lambda x: x.reshape(()), None
            )
        if self.block:
            return None
        merged = _merged_axes(self.shape, shape)
        if merged is None:
            return None
        scales = []
        for axes in merged:
            held = prod(self.scale.shape[axis] for axis in axes)
            if held not in (1, prod(self.shape[axis] for axis in axes)):
                return None
            scales.append(held)
        return self._laid_out(
            lambda x: x.reshape(shape), lambda x: x.reshape(scales), None
        )

    def _laid_out(self, codes: Any, grid: Any, block: Any) -> "Codes":
        return replace(
            self,
            codes=codes(self.codes),
            scale=grid(self.scale),
            zero_point=grid(self.zero_point),
            block=block,
        )


def dtype_of(kind: OnnxType, /) -> np.dtype[Any]:
    """Return the dtype of numpy that holds a type of ONNX."""
    return ir.DataType(kind.number).numpy()


def _merged_axes(old: tuple[int, ...], new: tuple[int, ...]) -> list[list[int]] | None:
    """Return, for each new axis, the old ones it is made of; None if one is split."""
    merged: list[list[int]] = []
    axis = 0
    for n in new:
        axes: list[int] = []
        while prod(old[a] for a in axes) != n and axis < len(old):
            axes.append(axis)
            axis += 1
        if prod(old[a] for a in axes) != n:
            return None
        merged.append(axes)
    return merged if prod(old[axis:]) == 1 else None
