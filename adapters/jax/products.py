"""Products of two arrays: which of their axes are summed, where the others go."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

CONVOLUTION = "conv_general_dilated"


@dataclass(frozen=True)
class Product:
    """A `dot_general` or `conv_general_dilated`, of operands of any dtype.

    Attributes
    ----------
    primitive
        Of JAX.
    params : mapping
        As the equation has them.
    shapes : tuple of tuple of int
        Of the operands.
    """

    primitive: Any
    params: Mapping[str, Any]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]

    @classmethod
    def of(cls, equation: core.JaxprEqn, /) -> "Product":
        """Return the product that an equation computes."""
        avals: list[Any] = [atom.aval for atom in equation.invars]
        lhs, rhs = (tuple(aval.shape) for aval in avals)
        return cls(equation.primitive, equation.params, (lhs, rhs))

    @property
    def is_convolution(self) -> bool:
        """Whether windows slide."""
        return str(self.primitive.name) == CONVOLUTION

    @property
    def kept(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The axes of each operand along which nothing is summed."""
        dimensions = self.params["dimension_numbers"]
        if self.is_convolution:
            return (), (dimensions.rhs_spec[0],)
        contracted, batched = dimensions
        lhs, rhs = (
            (
                *batch,
                *(
                    axis
                    for axis in range(len(shape))
                    if axis not in summed and axis not in batch
                ),
            )
            for shape, summed, batch in zip(
                self.shapes, contracted, batched, strict=True
            )
        )
        return lhs, rhs

    @property
    def summed(self) -> int:
        """How many products make an element."""
        rhs = self.shapes[1]
        if self.is_convolution:
            return prod(n for axis, n in enumerate(rhs) if axis not in self.kept[1])
        (_, contracted), _ = self.params["dimension_numbers"]
        return prod(rhs[axis] for axis in contracted)

    def compute(self, lhs: jax.Array, rhs: jax.Array, dtype: Any, /) -> jax.Array:
        """Return the product, summed in a dtype."""
        params = {**self.params, "precision": None, "preferred_element_type": dtype}
        found: jax.Array = self.primitive.bind(lhs, rhs, **params)
        return found

    def channel_runs(self, terms: int, /) -> list[tuple[int, int]]:
        """Return runs of a convolution's input channels of so few terms each.

        There are none for other products, and where a single channel or those of a
        group have more.
        """
        if not self.is_convolution:
            return []
        dimensions = self.params["dimension_numbers"]
        channels = self.shapes[1][dimensions.rhs_spec[1]]
        size = terms * channels // max(self.summed, 1)
        if size >= channels:
            return [(0, channels)]
        if size == 0 or self.params["feature_group_count"] > 1:
            return []
        return [
            (start, min(start + size, channels)) for start in range(0, channels, size)
        ]

    def of_channels(
        self, lhs: jax.Array, rhs: jax.Array, run: tuple[int, int], /
    ) -> tuple[jax.Array, jax.Array]:
        """Return the operands of a convolution, a run of their input channels alone."""
        dimensions = self.params["dimension_numbers"]
        start, stop = run
        if stop - start == self.shapes[1][dimensions.rhs_spec[1]]:
            return lhs, rhs  # of groups, each has so many
        return (
            jax.lax.slice_in_dim(lhs, start, stop, axis=dimensions.lhs_spec[1]),
            jax.lax.slice_in_dim(rhs, start, stop, axis=dimensions.rhs_spec[1]),
        )

    def padded(self, lhs: jax.Array, fill: Any, /) -> tuple["Product", jax.Array]:
        """Return the product with nothing left to pad, and its padded operand."""
        if not self.is_convolution:
            return self, lhs
        _, _, *spatial = self.params["dimension_numbers"].lhs_spec
        edges, gaps = self.params["padding"], self.params["lhs_dilation"]
        by_axis = [(0, 0, 0)] * lhs.ndim
        for axis, (low, high), gap in zip(spatial, edges, gaps, strict=True):
            by_axis[axis] = (low, high, gap - 1)
        if not any(map(any, by_axis)):
            return self, lhs
        lhs = jax.lax.pad(lhs, fill, by_axis)
        params = {
            **self.params,
            "padding": ((0, 0),) * len(spatial),
            "lhs_dilation": (1,) * len(spatial),
        }
        return Product(self.primitive, params, (lhs.shape, self.shapes[1])), lhs

    def placed(self, operand: int, x: jax.Array, /) -> jax.Array:
        """Return numbers of an operand so that they broadcast against the result.

        They have the operand's rank and are 1 long where it is summed, or are single.
        """
        if x.size == 1:
            return x.reshape(())
        if self.is_convolution:
            shape = [1] * x.ndim
            shape[self.params["dimension_numbers"].out_spec[1]] = x.size
            return x.reshape(shape)
        kept = self.kept[operand]
        _, batched = self.params["dimension_numbers"]
        batch = len(batched[0])
        others = (1,) * (len(self.kept[1 - operand]) - batch)
        sizes = [x.shape[axis] for axis in kept]
        summed = tuple(axis for axis in range(x.ndim) if axis not in kept)
        x = jnp.transpose(x, (*kept, *summed))
        if operand == 0:
            return x.reshape(*sizes, *others)
        return x.reshape(*sizes[:batch], *others, *sizes[batch:])

    def sums(self, operand: int, codes: jax.Array, /) -> jax.Array:
        """Return the product with ones in the other's place, int32; it broadcasts."""
        if self.is_convolution and operand == 0:
            return self.compute(codes, jnp.ones(self.shapes[1], codes.dtype), jnp.int32)
        axes = [axis for axis in range(codes.ndim) if axis not in self.kept[operand]]
        total = jnp.sum(codes.astype(jnp.int32), axis=axes, keepdims=True)
        return self.placed(operand, total)
