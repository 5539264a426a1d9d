"""Pools that quantize their input."""

from typing import Any

from torch import nn
from torch.nn.modules import pooling

from qcore.adapters.torch.nn.modules._utils import pop_quant_desc_in_kwargs
from qcore.adapters.torch.nn.modules.quantized_input import QuantizedInput

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "QuantAdaptiveAvgPool1d",
    "QuantAdaptiveAvgPool2d",
    "QuantAdaptiveAvgPool3d",
    "QuantAvgPool1d",
    "QuantAvgPool2d",
    "QuantAvgPool3d",
    "QuantMaxPool1d",
    "QuantMaxPool2d",
    "QuantMaxPool3d",
]

Size = int | tuple[int, ...]


class _QuantMaxPool(QuantizedInput, pooling._MaxPoolNd):
    """A pool of maxima.

    Parameters
    ----------
    kernel_size, stride, padding, dilation, return_indices, ceil_mode
        As of torch's pool of the same dimensions.
    quant_desc_input : QuantDescriptor, optional
        The default of the class if left out: 8 bits per tensor.

    Raises
    ------
    UnknownKeywordError
        If there are other keywords; a TypeError and a KeyError.
    ValueError
        If the descriptor is not one of fake quantization.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
        **kwargs: Any,
    ) -> None:
        descriptor = pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs)
        super().__init__(
            kernel_size, stride, padding, dilation, return_indices, ceil_mode
        )
        self.init_quantizer(descriptor)


class QuantAvgPool1d(QuantizedInput, nn.AvgPool1d):
    """`torch.nn.AvgPool1d` of quantized input.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As of `torch.nn.AvgPool1d`.
    quant_desc_input : QuantDescriptor, optional
        The default of the class if left out: 8 bits per tensor.

    Raises
    ------
    UnknownKeywordError, ValueError
        As `_QuantMaxPool`.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        **kwargs: Any,
    ) -> None:
        descriptor = pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs)
        super().__init__(
            kernel_size,  # type: ignore[arg-type]
            stride,  # type: ignore[arg-type]
            padding,  # type: ignore[arg-type]
            ceil_mode,
            count_include_pad,
        )
        self.init_quantizer(descriptor)


class _QuantAvgPool(QuantizedInput):
    """A pool of means in two or three dimensions.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As of torch's pool of the same dimensions.
    quant_desc_input : QuantDescriptor, optional
        The default of the class if left out: 8 bits per tensor.

    Raises
    ------
    UnknownKeywordError, ValueError
        As `_QuantMaxPool`.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
        **kwargs: Any,
    ) -> None:
        descriptor = pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs)
        super().__init__(
            kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        )
        self.init_quantizer(descriptor)


class _QuantAdaptiveAvgPool(QuantizedInput, pooling._AdaptiveAvgPoolNd):
    """A pool of as many means as asked for.

    Parameters
    ----------
    output_size
        As of torch's pool of the same dimensions.
    quant_desc_input : QuantDescriptor, optional
        The default of the class if left out: 8 bits per tensor.

    Raises
    ------
    UnknownKeywordError, ValueError
        As `_QuantMaxPool`.
    """

    def __init__(self, output_size: Any, **kwargs: Any) -> None:
        descriptor = pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs)
        super().__init__(output_size)
        self.init_quantizer(descriptor)


class QuantMaxPool1d(_QuantMaxPool, nn.MaxPool1d):
    """`torch.nn.MaxPool1d` of quantized input; see `_QuantMaxPool`."""


class QuantMaxPool2d(_QuantMaxPool, nn.MaxPool2d):
    """`torch.nn.MaxPool2d` of quantized input; see `_QuantMaxPool`."""


class QuantMaxPool3d(_QuantMaxPool, nn.MaxPool3d):
    """`torch.nn.MaxPool3d` of quantized input; see `_QuantMaxPool`."""


class QuantAvgPool2d(_QuantAvgPool, nn.AvgPool2d):
    """`torch.nn.AvgPool2d` of quantized input; see `_QuantAvgPool`."""


class QuantAvgPool3d(_QuantAvgPool, nn.AvgPool3d):
    """`torch.nn.AvgPool3d` of quantized input; see `_QuantAvgPool`."""


class QuantAdaptiveAvgPool1d(_QuantAdaptiveAvgPool, nn.AdaptiveAvgPool1d):
    """`torch.nn.AdaptiveAvgPool1d` so quantized; see `_QuantAdaptiveAvgPool`."""


class QuantAdaptiveAvgPool2d(_QuantAdaptiveAvgPool, nn.AdaptiveAvgPool2d):
    """`torch.nn.AdaptiveAvgPool2d` so quantized; see `_QuantAdaptiveAvgPool`."""


class QuantAdaptiveAvgPool3d(_QuantAdaptiveAvgPool, nn.AdaptiveAvgPool3d):
    """`torch.nn.AdaptiveAvgPool3d` so quantized; see `_QuantAdaptiveAvgPool`."""


MaxPool1d = QuantMaxPool1d
MaxPool2d = QuantMaxPool2d
MaxPool3d = QuantMaxPool3d
AvgPool1d = QuantAvgPool1d
AvgPool2d = QuantAvgPool2d
AvgPool3d = QuantAvgPool3d
AdaptiveAvgPool1d = QuantAdaptiveAvgPool1d
AdaptiveAvgPool2d = QuantAdaptiveAvgPool2d
AdaptiveAvgPool3d = QuantAdaptiveAvgPool3d
