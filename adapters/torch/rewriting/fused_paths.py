"""Keeps torch's encoder from reading weights past the layers that quantize them."""

from torch import nn

from qcore.adapters.torch.nn.modules._utils import QuantizedModule


def leave_fused_paths(model: nn.Module, /) -> None:
    """
    Let encoders that hold quantized layers call them, in inference too.

    `torch.nn.TransformerEncoderLayer` otherwise computes itself with one function from
    the bare weights where no gradient is asked for. What is set here is what it and
    `torch.nn.TransformerEncoder` look at to find out whether they may.
    """
    for module in model.modules():
        if not any(isinstance(child, QuantizedModule) for child in module.modules()):
            continue
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0
        elif isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False
