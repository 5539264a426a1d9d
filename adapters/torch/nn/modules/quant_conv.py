"""Convolutions that quantize their input and their weights."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.nn.modules.utils import _ntuple

from qcore.adapters.torch.nn.modules._utils import (
    pop_place,
    pop_quant_desc_in_kwargs,
)
from qcore.adapters.torch.nn.modules.quant_conv_nd import _QuantConvNd
from qcore.adapters.torch.quantizer import quant_descs

__all__ = [
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "QuantConv1d",
    "QuantConv2d",
    "QuantConv3d",
    "QuantConvTranspose1d",
    "QuantConvTranspose2d",
    "QuantConvTranspose3d",
]

Size = int | tuple[int, ...]


class _QuantConv(_QuantConvNd):
    """A convolution.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias
        As of torch's convolution of the same dimensions.
    padding_mode
        As there.
    quant_desc_input, quant_desc_weight : QuantDescriptor, optional
        The defaults of the class if left out: 8 bits, weights per output channel.
    **kwargs
        `device` and `dtype`, as there.

    Raises
    ------
    UnknownKeywordError
        If there are other keywords; a TypeError and a KeyError.
    ValueError
        As `_QuantConvNd`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: str | Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        **kwargs: Any,
    ) -> None:
        place = pop_place(kwargs)
        descriptors = pop_quant_desc_in_kwargs(type(self), **kwargs)
        sized = _ntuple(self._dimensions)  # type: ignore[no-untyped-call]
        super().__init__(
            in_channels,
            out_channels,
            sized(kernel_size),
            sized(stride),
            padding if isinstance(padding, str) else sized(padding),
            sized(dilation),
            False,
            sized(0),
            groups,
            bias,
            padding_mode,
            *descriptors,
            **place,
        )

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the convolution of quantized input with quantized weights."""
        convolved: torch.Tensor = self._conv_forward(*self._quantized(input), self.bias)
        return convolved


class _QuantConvTranspose(_QuantConvNd):
    """A transposed convolution.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, output_padding, groups
        As of torch's transposed convolution of the same dimensions.
    bias, dilation, padding_mode
        As there.
    quant_desc_input, quant_desc_weight : QuantDescriptor, optional
        The defaults of the class if left out: 8 bits, weights per output channel.
    **kwargs
        `device` and `dtype`, as there.

    Raises
    ------
    UnknownKeywordError
        If there are other keywords; a TypeError and a KeyError.
    ValueError
        As `_QuantConvNd`; also of another padding mode than zeros.
    """

    _function: ClassVar[Callable[..., torch.Tensor]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        **kwargs: Any,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(
                f"`padding_mode` of {type(self).__name__} must be 'zeros'; got "
                f"{padding_mode!r}."
            )
        place = pop_place(kwargs)
        descriptors = pop_quant_desc_in_kwargs(type(self), **kwargs)
        sized = _ntuple(self._dimensions)  # type: ignore[no-untyped-call]
        super().__init__(
            in_channels,
            out_channels,
            sized(kernel_size),
            sized(stride),
            sized(padding),
            sized(dilation),
            True,
            sized(output_padding),
            groups,
            bias,
            padding_mode,
            *descriptors,
            **place,
        )

    def forward(
        self, input: torch.Tensor, output_size: list[int] | None = None
    ) -> torch.Tensor:
        """Return the transposed convolution of quantized input and weights."""
        padding = self._output_padding(  # type: ignore[operator]
            input,
            output_size,
            self.stride,
            self.padding,
            self.kernel_size,
            self._dimensions,
            self.dilation,
        )
        quantized, weight = self._quantized(input)
        return type(self)._function(
            quantized,
            weight,
            self.bias,
            self.stride,
            self.padding,
            padding,
            self.groups,
            self.dilation,
        )


class QuantConv1d(_QuantConv, nn.Conv1d):
    """`torch.nn.Conv1d` on quantized input and weights; see `_QuantConv`."""

    _dimensions = 1
    default_quant_desc_weight = quant_descs.QUANT_DESC_8BIT_CONV1D_WEIGHT_PER_CHANNEL


class QuantConv2d(_QuantConv, nn.Conv2d):
    """`torch.nn.Conv2d` on quantized input and weights; see `_QuantConv`."""

    _dimensions = 2
    default_quant_desc_weight = quant_descs.QUANT_DESC_8BIT_CONV2D_WEIGHT_PER_CHANNEL


class QuantConv3d(_QuantConv, nn.Conv3d):
    """`torch.nn.Conv3d` on quantized input and weights; see `_QuantConv`."""

    _dimensions = 3
    default_quant_desc_weight = quant_descs.QUANT_DESC_8BIT_CONV3D_WEIGHT_PER_CHANNEL


class QuantConvTranspose1d(_QuantConvTranspose, nn.ConvTranspose1d):
    """`torch.nn.ConvTranspose1d` so quantized; see `_QuantConvTranspose`."""

    _dimensions = 1
    _function = staticmethod(F.conv_transpose1d)
    default_quant_desc_weight = (
        quant_descs.QUANT_DESC_8BIT_CONVTRANSPOSE1D_WEIGHT_PER_CHANNEL
    )


class QuantConvTranspose2d(_QuantConvTranspose, nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` so quantized; see `_QuantConvTranspose`."""

    _dimensions = 2
    _function = staticmethod(F.conv_transpose2d)
    default_quant_desc_weight = (
        quant_descs.QUANT_DESC_8BIT_CONVTRANSPOSE2D_WEIGHT_PER_CHANNEL
    )


class QuantConvTranspose3d(_QuantConvTranspose, nn.ConvTranspose3d):
    """`torch.nn.ConvTranspose3d` so quantized; see `_QuantConvTranspose`."""

    _dimensions = 3
    _function = staticmethod(F.conv_transpose3d)
    default_quant_desc_weight = (
        quant_descs.QUANT_DESC_8BIT_CONVTRANSPOSE3D_WEIGHT_PER_CHANNEL
    )


Conv1d = QuantConv1d
Conv2d = QuantConv2d
Conv3d = QuantConv3d
ConvTranspose1d = QuantConvTranspose1d
ConvTranspose2d = QuantConvTranspose2d
ConvTranspose3d = QuantConvTranspose3d
