"""Layers that are what they were if something fails."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from qcore.adapters.torch.recovery.layers import Layer


@contextmanager
def restored_on_failure(layers: Sequence[Layer], /) -> Iterator[None]:
    """Give layers back the weights and biases that they had if the block raises."""
    before = [
        (
            layer,
            layer.weight.clone(),
            layer.bias,
            None if layer.bias is None else layer.bias.clone(),
        )
        for layer in layers
    ]
    try:
        yield
    except BaseException:
        for layer, weight, bias, values in before:
            if not weight.equal(layer.weight):
                layer.weight.copy_(weight)
            layer.bias = bias
            if bias is not None and values is not None:
                bias.copy_(values)
        raise
