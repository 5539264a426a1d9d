"""What of its input each output of a layer is made of, and its weight to match."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.modules.conv import _ConvNd

from qcore import Window
from qcore.adapters.torch.recovery.layers import Layer
from qcore.recovery.transposed import mirrored


@dataclass(frozen=True)
class Geometry:
    """Of a convolution, a transposed one, or of a linear layer.

    Attributes
    ----------
    layer : Layer
        Whose it is.
    """

    layer: Layer

    @property
    def kernel(self) -> tuple[int, ...]:
        """Spatial extents of the weight; none of a matrix."""
        layer = self.layer
        return tuple(layer.kernel_size) if isinstance(layer, _ConvNd) else ()

    @property
    def groups(self) -> int:
        """How many parts the channels are cut into."""
        return self.layer.groups if isinstance(self.layer, _ConvNd) else 1

    def images(self, x: torch.Tensor, every: int) -> torch.Tensor:
        """Return ``[N, channels, *spatial]``, padded, or each `every`-th of ``[N, K]``.

        Parameters
        ----------
        x : Tensor
            As the layer multiplies it.
        every : int
            How far apart are the outputs to look at.
        """
        layer = self.layer
        if not isinstance(layer, _ConvNd):
            return x.reshape(-1, x.shape[-1])[::every]
        x = x.reshape(-1, *x.shape[-1 - len(self.kernel) :])
        if layer.transposed:
            return x
        around = layer._reversed_padding_repeated_twice
        if not any(around):
            return x
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        return torch.nn.functional.pad(x, around, mode)

    def window(
        self, every: int, spatial: tuple[int, ...], output: tuple[int, ...]
    ) -> Window:
        """Return what each `every`-th output sees of such images.

        Parameters
        ----------
        every : int
            As of `images`.
        spatial, output : tuple of int
            Spatial extents of image and output.
        """
        layer = self.layer
        if not isinstance(layer, _ConvNd):
            return Window()
        dilation = tuple(layer.dilation)
        if not layer.transposed:
            stride = tuple(every * s for s in layer.stride)
            return Window(self.kernel, stride, dilation, groups=self.groups)
        around = []
        axes = zip(
            *(spatial, output, self.kernel, layer.stride, dilation, layer.padding),
            strict=True,
        )
        for extent, wanted, kernel, stride, apart, cut in axes:
            reach = apart * (kernel - 1)
            before = reach - int(cut)
            # What is then missing, whatever `output_padding` or `output_size` said.
            after = wanted + reach - ((extent - 1) * stride + 1) - before
            around.append((before, after))
        spread = tuple(layer.stride)
        return Window(self.kernel, every, dilation, tuple(around), spread, self.groups)

    def by_output(self, weight: np.ndarray) -> np.ndarray:
        """Return a weight, or what belongs to it, as ``[outputs, inputs, *kernel]``."""
        if not self._is_transposed:
            return weight
        rows: np.ndarray = mirrored(weight, self.groups, xp=np)
        return rows

    def as_stored(self, rows: np.ndarray) -> np.ndarray:
        """Return what `by_output` gave in the shape that the layer wants."""
        return self.by_output(rows)  # what was mirrored is mirrored back

    @property
    def _is_transposed(self) -> bool:
        return isinstance(self.layer, _ConvNd) and self.layer.transposed
