"""The weights that a model's quantizers quantize."""

from collections.abc import Iterator

import torch
from torch import nn

from qcore.adapters.torch.nn.modules.quant_rnn import QuantLSTM, QuantLSTMCell
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.lookup import quantizers_of


def weight_operands(
    model: nn.Module, /
) -> Iterator[tuple[TensorQuantizer, torch.Tensor]]:
    """Yield each quantizer of weights and the tensor that it quantizes."""
    for module in model.modules():
        quantizers = quantizers_of(module, "weight")
        if quantizers:
            yield from zip(quantizers, weights_of(module), strict=True)


def weights_of(module: nn.Module, /) -> list[torch.Tensor]:
    """Return what the quantizers of a module's weights are given."""
    if isinstance(module, QuantLSTM):
        return [torch.cat(tuple(weights[:2]), 1) for weights in module.all_weights]
    if isinstance(module, QuantLSTMCell):
        return [torch.cat((module.weight_ih, module.weight_hh), 1)]
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    return [weight]
