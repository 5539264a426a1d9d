"""A linear layer that quantizes its input and its weights."""

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from qcore.adapters.torch.nn.modules._utils import (
    Descriptor,
    QuantMixin,
    pop_place,
    pop_quant_desc_in_kwargs,
)
from qcore.adapters.torch.quantizer.quant_descs import (
    QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW,
)

__all__ = ["Linear", "QuantLinear"]


class QuantLinear(QuantMixin, nn.Linear):
    """`torch.nn.Linear` on quantized input and weights.

    Parameters
    ----------
    in_features, out_features, bias
        As of `torch.nn.Linear`.
    quant_desc_input, quant_desc_weight : QuantDescriptor, optional
        The defaults of the class if left out: 8 bits, weights per output feature.
    **kwargs
        `device` and `dtype`, as of `torch.nn.Linear`.

    Raises
    ------
    UnknownKeywordError
        If there are other keywords; a TypeError and a KeyError.
    ValueError
        If a descriptor is not one of fake quantization.
    """

    default_quant_desc_weight: ClassVar[Descriptor] = (
        QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW
    )

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, **kwargs: Any
    ) -> None:
        place = pop_place(kwargs)
        desc_input, desc_weight = pop_quant_desc_in_kwargs(type(self), **kwargs)
        super().__init__(in_features, out_features, bias, **place)
        self.init_quantizer(desc_input, desc_weight)
        self.to(self.weight.device)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the layer's output for quantized input."""
        quantized = self._input_quantizer(input)
        weight = self._weight_quantizer(self.weight)
        return F.linear(quantized, weight, self.bias)


Linear = QuantLinear
