"""What of its input each output of a layer is made of, and its weight to match."""

from dataclasses import dataclass
from math import prod

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import integer_attribute
from qcore.adapters.onnx.recovery.padding import (
    integers,
    padding,
    padding_of_transposed,
)
from qcore.recovery.thinning import spacing
from qcore.recovery.transposed import mirrored
from qcore.statistics.window import Window


@dataclass(frozen=True)
class Geometry:
    """Of a convolution, a transposed one, or of a product of matrices.

    Attributes
    ----------
    node : Node
        The operator.
    shape : tuple of int
        That of its weight.
    """

    node: ir.Node
    shape: tuple[int, ...]

    @property
    def is_transposed(self) -> bool:
        """Whether this is a transposed convolution."""
        return self.node.op_type == "ConvTranspose"

    @property
    def kernel(self) -> tuple[int, ...]:
        """Spatial extents of the weight; none of a matrix."""
        return self.shape[2:] if self.node.op_type.startswith("Conv") else ()

    @property
    def groups(self) -> int:
        """How many parts the channels are cut into."""
        return integer_attribute(self.node, "group", 1) if self.kernel else 1

    def window(self, extents: tuple[int, ...], every: int = 1) -> Window:
        """Return what each `every`-th output sees of an input as `padded` gives it.

        Parameters
        ----------
        extents : tuple of int
            Spatial ones of the input.
        every : int
            How far apart the outputs lie.
        """
        rank = len(self.kernel)
        stride = tuple(every * s for s in integers(self.node, "strides", rank))
        dilation = integers(self.node, "dilations", rank)
        if not self.is_transposed:
            return Window(self.kernel, stride, dilation, groups=self.groups)
        around = padding_of_transposed(self.node, self.kernel, extents)
        spread = integers(self.node, "strides", rank)
        return Window(self.kernel, every, dilation, around, spread, self.groups)

    def padded(self, codes: np.ndarray, zero_point: int) -> np.ndarray:
        """Return codes of an input with those of zero around, as a Conv pads."""
        if not self.kernel or self.is_transposed:
            return codes
        extents = codes.shape[2:]
        pads = padding(self.node, self.kernel, extents)
        cut = [
            slice(max(-a, 0), n + min(b, 0))
            for n, (a, b) in zip(extents, pads, strict=True)
        ]
        around = [(max(a, 0), max(b, 0)) for a, b in pads]
        inner = codes[(slice(None), slice(None), *cut)]
        return np.pad(inner, ((0, 0), (0, 0), *around), constant_values=zero_point)

    def every(self, shape: tuple[int, ...], most: int) -> int:
        """Return how far apart, along each axis, few enough outputs lie.

        Parameters
        ----------
        shape : tuple of int
            That of the output of a sample.
        most : int
            How many of a channel are enough.
        """
        shown = prod(shape) // shape[1 if self.kernel else -1]
        return spacing(shown, most, len(self.kernel))

    def by_output(self, weight: np.ndarray) -> np.ndarray:
        """Return a weight, or what belongs to it, as ``[outputs, inputs, *kernel]``."""
        if not self.is_transposed:
            return np.moveaxis(weight, self._output_axis, 0)
        rows: np.ndarray = mirrored(weight, self.groups, xp=np)
        return rows

    def as_stored(self, rows: np.ndarray) -> np.ndarray:
        """Return what `by_output` gave in the shape that the operator wants."""
        if self.is_transposed:
            return self.by_output(rows)  # what was mirrored is mirrored back
        return np.moveaxis(rows, 0, self._output_axis)

    def products(self, rows: np.ndarray, inputs: np.ndarray) -> np.ndarray:
        """Return what weights ``[outputs, ...]`` make of inputs ``[groups, K]``."""
        split = rows.reshape(self.groups, -1, inputs.shape[1])
        products: np.ndarray = split @ inputs[:, :, None]
        return products.reshape(-1)

    @property
    def _output_axis(self) -> int:
        if self.node.op_type == "MatMul":
            return len(self.shape) - 1
        is_row = integer_attribute(self.node, "transB", 0)
        return 1 if self.node.op_type == "Gemm" and not is_row else 0
