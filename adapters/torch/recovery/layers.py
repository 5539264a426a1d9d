"""The layers whose output has a bias of its own for each channel."""

from typing import TypeGuard

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from qcore.adapters.torch.nn.modules._utils import QuantMixin
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.lookup import quantizers_of
from qcore.formats import IntFormat
from qcore.recovery import round_bias

Layer = nn.Linear | _ConvNd


def is_layer(module: nn.Module, /) -> TypeGuard[Layer]:
    """Return whether a module is a quantized linear layer or convolution."""
    return isinstance(module, QuantMixin) and isinstance(module, nn.Linear | _ConvNd)


def output_channels(layer: Layer, /) -> int:
    """Return how many channels the output has."""
    return layer.out_channels if isinstance(layer, _ConvNd) else layer.out_features


def add_to_bias(layer: Layer, shift: torch.Tensor, /) -> None:
    """Change a layer's bias, and give it one if it has none.

    Where input and weights are integers with fixed scales, the bias becomes one of the
    accumulators' integers, as in deployment.
    """
    if layer.bias is None:
        start = layer.weight.new_zeros(output_channels(layer))
        layer.bias = nn.Parameter(start, requires_grad=layer.weight.requires_grad)
    changed = layer.bias + shift.reshape(-1).to(layer.bias)
    step = _accumulator_scale(layer)
    layer.bias.copy_(changed if step is None else round_bias(changed, step))


def _accumulator_scale(layer: Layer) -> torch.Tensor | None:
    """Return what a sum of products of codes is multiplied by, if that is one number.

    One for all or one for each output channel.
    """
    quantizers = [*quantizers_of(layer, "input"), *quantizers_of(layer, "weight")]
    if not all(map(_gives_codes, quantizers)):
        return None
    of_input, of_weight = (
        torch.as_tensor(q.frozen_qparams().scale).reshape(-1) for q in quantizers
    )
    channels = output_channels(layer)
    if of_input.numel() != 1 or of_weight.numel() not in (
        1,
        channels // _groups(layer),
    ):
        return None
    if of_weight.numel() > 1:
        of_weight = of_weight.repeat(channels // of_weight.numel())
    return of_input * of_weight


def _groups(layer: Layer) -> int:
    """Return for how many output channels a scale of the weights stands."""
    if isinstance(layer, _ConvNd) and layer.transposed:
        return layer.groups
    return 1


def _gives_codes(quantizer: TensorQuantizer) -> bool:
    fixed = quantizer.has_range() or quantizer.is_learned()
    is_on = quantizer.is_enabled and quantizer.num_bits not in (0, 1)
    return is_on and fixed and isinstance(quantizer.spec.format, IntFormat)
