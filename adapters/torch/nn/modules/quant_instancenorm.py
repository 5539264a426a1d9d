"""Instance normalizations that quantize their input."""

from typing import Any

from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from qcore.adapters.torch.nn.modules._utils import pop_place, pop_quant_desc_in_kwargs
from qcore.adapters.torch.nn.modules.quantized_input import QuantizedInput

__all__ = [
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "QuantInstanceNorm1d",
    "QuantInstanceNorm2d",
    "QuantInstanceNorm3d",
]


class _QuantInstanceNorm(QuantizedInput, _InstanceNorm):
    """An instance normalization.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats
        As of torch's normalization of the same dimensions.
    quant_desc_input : QuantDescriptor, optional
        The default of the class if left out: 8 bits per tensor.
    **kwargs
        `device` and `dtype`, as there.

    Raises
    ------
    UnknownKeywordError
        If there are other keywords; a TypeError and a KeyError.
    ValueError
        If the descriptor is not one of fake quantization.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        **kwargs: Any,
    ) -> None:
        place = pop_place(kwargs)
        descriptor = pop_quant_desc_in_kwargs(type(self), input_only=True, **kwargs)
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, **place
        )
        self.init_quantizer(descriptor)
        self.to(place.get("device"))


class QuantInstanceNorm1d(_QuantInstanceNorm, nn.InstanceNorm1d):
    """`torch.nn.InstanceNorm1d` of quantized input; see `_QuantInstanceNorm`."""


class QuantInstanceNorm2d(_QuantInstanceNorm, nn.InstanceNorm2d):
    """`torch.nn.InstanceNorm2d` of quantized input; see `_QuantInstanceNorm`."""


class QuantInstanceNorm3d(_QuantInstanceNorm, nn.InstanceNorm3d):
    """`torch.nn.InstanceNorm3d` of quantized input; see `_QuantInstanceNorm`."""


InstanceNorm1d = QuantInstanceNorm1d
InstanceNorm2d = QuantInstanceNorm2d
InstanceNorm3d = QuantInstanceNorm3d
