"""Quantizers whose stages change for a while, and then are what they were."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.lookup import named_quantizers
from qcore.adapters.torch.quantizer.stages import Stages


@contextmanager
def keeping_stages(model: nn.Module, /) -> Iterator[list[TensorQuantizer]]:
    """Give a model's quantizers, whose stages may be changed inside of the block."""
    before = [(q, q.stages) for q in named_quantizers(model).values()]
    try:
        yield [quantizer for quantizer, _ in before]
    finally:
        # Also those that came into being: they have no stages to go back to.
        for quantizer in named_quantizers(model).values():
            quantizer.stages = Stages(is_enabled=quantizer.is_enabled)
        for quantizer, stages in before:
            quantizer.stages = stages
