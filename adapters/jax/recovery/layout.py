"""How the operands and the result of a product lie, as the core wants them."""

from dataclasses import dataclass
from math import prod

import numpy as np

from qcore import Window
from qcore.adapters.jax.products import Product


@dataclass(frozen=True)
class Layout:
    """Of a product one of whose operands is a weight.

    Attributes
    ----------
    product : Product
        A dense one or a convolution.
    weight : int
        Which operand the weight is; of a convolution the second.
    """

    product: Product
    weight: int

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the weight."""
        return self.product.shapes[self.weight]

    @property
    def groups(self) -> int:
        """How many parts inputs and outputs are cut into."""
        if self.product.is_convolution:
            return int(self.product.params["feature_group_count"])
        return prod(self.shape[axis] for axis in self._batch(self.weight))

    @property
    def result_axes(self) -> tuple[int, ...]:
        """The axes of the result along which outputs lie, in their order."""
        if self.product.is_convolution:
            return (self.product.params["dimension_numbers"].out_spec[1],)
        batch = len(self._batch(0))
        kept = [len(axes) for axes in self.product.kept]
        first = batch if self.weight == 0 else kept[0]
        count = kept[self.weight] - batch
        return (*range(batch), *range(first, first + count))

    @property
    def is_of_tokens(self) -> bool:
        """Whether rows of data lie along several axes, as the tokens of texts do."""
        return not self.product.is_convolution and len(self._free()) > 1

    def shown(self, shape: tuple[int, ...]) -> int:
        """Return how many outputs of a channel are made of data of this shape."""
        if not self.product.is_convolution:
            return prod(shape[axis] for axis in self._free())
        numbers = self.product.params["dimension_numbers"].lhs_spec
        extents = tuple(shape[axis] for axis in numbers[2:])
        images: int = shape[numbers[0]]
        return images * prod(self.window().outputs(extents))

    def window(self, every: int = 1) -> Window:
        """Return what each `every`-th output sees."""
        if not self.product.is_convolution:
            return Window(groups=self.groups)
        params = self.product.params
        return Window(
            tuple(self.shape[axis] for axis in self._spatial()),
            tuple(every * stride for stride in params["window_strides"]),
            tuple(params["rhs_dilation"]),
            tuple(params["padding"]),
            tuple(params["lhs_dilation"]),
            self.groups,
        )

    def data(self, codes: np.ndarray, every: int = 1) -> np.ndarray:
        """Return ``[N, channels, *spatial]``, or ``[rows, features]``, thinned out."""
        if self.product.is_convolution:
            return codes.transpose(self.product.params["dimension_numbers"].lhs_spec)
        batch, free = self._batch(1 - self.weight), self._free()
        rows = codes.transpose((*free, *batch, *self._summed(1 - self.weight)))
        count = prod(rows.shape[: len(free)])
        features = prod(rows.shape[len(free) :])
        return rows.reshape(count, features)[::every]

    def by_output(self, weight: np.ndarray) -> np.ndarray:
        """Return a weight, or what belongs to it, as ``[outputs, inputs, *kernel]``."""
        moved = weight.transpose(self._order())
        return moved.reshape(self._outputs(moved.shape), *self._inputs(moved.shape))

    def as_operand(self, rows: np.ndarray) -> np.ndarray:
        """Return what `by_output` gave in the shape of the weight."""
        order = self._order()
        moved = rows.reshape([self.shape[axis] for axis in order])
        return moved.transpose(np.argsort(order))

    def result(self, result: np.ndarray, every: int = 1) -> np.ndarray:
        """Return ``[outputs, N]`` of a result, thinned out."""
        if not self.product.is_convolution:
            others = [a for a in range(result.ndim) if a not in self.result_axes]
            rows = result.transpose((*self.result_axes, *others))
            count = prod(rows.shape[: len(self.result_axes)])
            return rows.reshape(count, -1)[:, ::every]
        numbers = self.product.params["dimension_numbers"].out_spec
        moved = result.transpose((numbers[1], numbers[0], *numbers[2:]))
        cut = (slice(None, None, every),) * len(numbers[2:])
        thinned = moved[(slice(None), slice(None), *cut)]
        return thinned.reshape(len(thinned), -1)

    def _spatial(self) -> tuple[int, ...]:
        return tuple(self.product.params["dimension_numbers"].rhs_spec[2:])

    def _batch(self, operand: int) -> tuple[int, ...]:
        return tuple(self.product.params["dimension_numbers"][1][operand])

    def _summed(self, operand: int) -> tuple[int, ...]:
        return tuple(self.product.params["dimension_numbers"][0][operand])

    def _free(self) -> tuple[int, ...]:
        """Return the axes of the data that are those of the result alone."""
        other = 1 - self.weight
        return self.product.kept[other][len(self._batch(other)) :]

    def _order(self) -> tuple[int, ...]:
        """Return the axes of the weight: outputs before inputs."""
        if self.product.is_convolution:
            return tuple(self.product.params["dimension_numbers"].rhs_spec)
        return (*self.product.kept[self.weight], *self._summed(self.weight))

    def _outputs(self, moved: tuple[int, ...]) -> int:
        if self.product.is_convolution:
            return moved[0]
        return prod(moved[: len(self.product.kept[self.weight])])

    def _inputs(self, moved: tuple[int, ...]) -> tuple[int, ...]:
        if self.product.is_convolution:
            return moved[1:]
        return (prod(moved[len(self.product.kept[self.weight]) :]),)
