"""Weights that kernels multiply side by side, adding both products in 16 bits.

x86 processors without VNNI do (vpmaddubsw), and saturate: as codes of activations reach
255, those of two weights of one sign may reach 128 together. Where they do not exceed
that, signed weights give the same numbers on each processor, at full speed on those
with VNNI, and keep 8 bits nearly everywhere: two neighbours are rarely large at once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import extents_of
from qcore.adapters.onnx.graph.operands import integer_attribute, weight_index
from qcore.adapters.onnx.recovery.geometry import Geometry

MOST = 128
"""Of the sum of two codes of one sign: 255 times as much fits in 16 bits, signed."""


def neighbours_in(node: ir.Node) -> "Neighbours | None":
    """Return those in the weight of a product, if that is its second operand."""
    if weight_index(node) != 1:
        return None
    kernel = node.inputs[1]
    assert kernel is not None
    return Neighbours(node, extents_of(kernel))


@dataclass(frozen=True)
class Neighbours:
    """Those in the weight of a product.

    Attributes
    ----------
    node : Node
        A product whose weight is the second operand.
    shape : tuple of int
        That of the weight.
    """

    node: ir.Node
    shape: tuple[int, ...]

    def exceed(self, codes: np.ndarray) -> bool:
        """Return whether the codes of any two are too large together."""
        sums = self._sums(self._rows(codes).astype(np.int32))
        return any((size > MOST).any() for size in sums)

    def least_scales(self, weight: np.ndarray) -> np.ndarray:
        """Return ``[outputs]``: under no smaller scales two exceed for sure."""
        rows = self._rows(weight).astype(np.float64)
        most = np.zeros(len(rows))
        for size in self._sums(rows):
            most = np.maximum(most, size.max(-1, initial=0))
        # Each may be rounded up by half a code, and the sum of both is whole.
        return most / (MOST - 0.5)

    def limits(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Return between which codes each weight can be chosen without looking at others.

        Parameters
        ----------
        codes : array
            ``[outputs, inputs, *kernel]``, none of which exceed; what two leave free is
            shared out to both.

        Returns
        -------
        tuple of array
            int32, the lowest and the highest of each.
        """
        rows = codes.reshape(len(codes), -1).astype(np.int32)
        bounds = []
        for sign in (-1, 1):
            size = np.maximum(sign * rows, 0)
            bound = np.full_like(size, MOST)
            for pair in self._pairs:
                room = (MOST - size[:, pair].sum(-1, keepdims=True)) // 2
                bound[:, pair] = np.minimum(bound[:, pair], size[:, pair] + room)
            bounds.append((sign * bound).reshape(codes.shape))
        return bounds[0], bounds[1]

    @cached_property
    def _pairs(self) -> tuple[np.ndarray, ...]:
        """Places in a row, ``[pairs, 2]`` in each order that kernels may take them.

        Channels are the last axis where onnxruntime has rearranged them, the first
        where it has not; and a kernel without a copy of what the window sees adds
        channels of one place. What sees one channel alone is multiplied in 32 bits.
        """
        row = np.arange(prod(self._row_shape)).reshape(self._row_shape)
        if self.node.op_type != "Conv":
            orders = [row.reshape(-1, row.shape[-1])]
        elif self._is_depthwise:
            orders = []
        else:
            last = np.moveaxis(row, 0, -1)
            orders = [row.reshape(1, -1), last.reshape(1, -1)]
            orders += [last.reshape(-1, last.shape[-1])]
        return tuple(
            order[:, : order.shape[1] // 2 * 2].reshape(-1, 2) for order in orders
        )

    @property
    def _is_depthwise(self) -> bool:
        groups = integer_attribute(self.node, "group", 1)
        return self.shape[:2] == (groups, 1)

    @property
    def _row_shape(self) -> tuple[int, ...]:
        return self._by_output(np.empty(self.shape)).shape[1:]

    def _rows(self, weight: np.ndarray) -> np.ndarray:
        by_output = self._by_output(weight)
        return by_output.reshape(len(by_output), -1)

    def _by_output(self, weight: np.ndarray) -> np.ndarray:
        if len(self.shape) == 1:  # a product with a vector has one output
            return weight[None]
        return Geometry(self.node, self.shape).by_output(weight)

    def _sums(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the sums of two in each order, as far as they are of one sign."""
        for sign in (-1, 1):
            size = np.maximum(sign * rows, 0)
            for pair in self._pairs:
                yield size[:, pair].sum(-1)
