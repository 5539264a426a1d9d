"""Which class quantizes which class of torch."""

from collections.abc import Mapping
from types import MappingProxyType

from torch import nn

from qcore.adapters.torch.nn.modules import (
    quant_conv,
    quant_instancenorm,
    quant_linear,
    quant_pooling,
    quant_rnn,
)
from qcore.adapters.torch.nn.modules._utils import QuantizedModule

# Read once: `quant_modules.initialize` gives the names in torch.nn other meanings.
_QUANTIZED: Mapping[type[nn.Module], type[QuantizedModule]] = MappingProxyType(
    {
        nn.AdaptiveAvgPool1d: quant_pooling.QuantAdaptiveAvgPool1d,
        nn.AdaptiveAvgPool2d: quant_pooling.QuantAdaptiveAvgPool2d,
        nn.AdaptiveAvgPool3d: quant_pooling.QuantAdaptiveAvgPool3d,
        nn.AvgPool1d: quant_pooling.QuantAvgPool1d,
        nn.AvgPool2d: quant_pooling.QuantAvgPool2d,
        nn.AvgPool3d: quant_pooling.QuantAvgPool3d,
        nn.Conv1d: quant_conv.QuantConv1d,
        nn.Conv2d: quant_conv.QuantConv2d,
        nn.Conv3d: quant_conv.QuantConv3d,
        nn.ConvTranspose1d: quant_conv.QuantConvTranspose1d,
        nn.ConvTranspose2d: quant_conv.QuantConvTranspose2d,
        nn.ConvTranspose3d: quant_conv.QuantConvTranspose3d,
        nn.InstanceNorm1d: quant_instancenorm.QuantInstanceNorm1d,
        nn.InstanceNorm2d: quant_instancenorm.QuantInstanceNorm2d,
        nn.InstanceNorm3d: quant_instancenorm.QuantInstanceNorm3d,
        nn.LSTM: quant_rnn.QuantLSTM,
        nn.LSTMCell: quant_rnn.QuantLSTMCell,
        nn.Linear: quant_linear.QuantLinear,
        nn.MaxPool1d: quant_pooling.QuantMaxPool1d,
        nn.MaxPool2d: quant_pooling.QuantMaxPool2d,
        nn.MaxPool3d: quant_pooling.QuantMaxPool3d,
    }
)


def quantized_class(float_class: type[nn.Module], /) -> type[QuantizedModule] | None:
    """
    Return the class that quantizes a class, which has a `from_float`.

    Parameters
    ----------
    float_class : type
        Of a module. Subclasses are not followed: what they add would be lost.

    Returns
    -------
    type or None
        None if no class quantizes it.
    """
    return _QUANTIZED.get(float_class)


def quantized_classes() -> Mapping[type[nn.Module], type[QuantizedModule]]:
    """Return all of them: class of torch to the class that quantizes it."""
    return _QUANTIZED
