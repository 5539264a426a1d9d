"""What quantized convolutions share, in any number of dimensions."""

from typing import Any, ClassVar

import torch
from torch.nn.modules.conv import _ConvNd

from qcore.adapters.torch.nn.modules._utils import Descriptor, QuantMixin


class _QuantConvNd(QuantMixin, _ConvNd):
    """What quantized convolutions share.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, transposed
        As of torch's convolutions, sizes as tuples.
    output_padding, groups, bias, padding_mode
        As there.
    quant_desc_input, quant_desc_weight : QuantDescriptor
        How input and weights are quantized.

    Raises
    ------
    ValueError
        If an argument is one that torch does not support, or a descriptor is not one of
        fake quantization.
    """

    _dimensions: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, ...],
        stride: tuple[int, ...],
        padding: str | tuple[int, ...],
        dilation: tuple[int, ...],
        transposed: bool,
        output_padding: tuple[int, ...],
        groups: int,
        bias: bool,
        padding_mode: str,
        quant_desc_input: Descriptor,
        quant_desc_weight: Descriptor,
        **place: Any,
    ) -> None:
        _ConvNd.__init__(
            self,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            transposed,
            output_padding,
            groups,
            bias,
            padding_mode,  # type: ignore[arg-type]
            **place,
        )
        self.init_quantizer(quant_desc_input, quant_desc_weight)
        self.to(self.weight.device)

    def _quantized(self, input: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return quantized input and weights."""
        quantized = self._input_quantizer(input)
        return quantized, self._weight_quantizer(self.weight)
