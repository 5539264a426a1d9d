"""Models that evaluate for a while, and then are in the modes they were in."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module, /) -> Iterator[None]:
    """Let all modules evaluate as long as the block lasts."""
    training = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in training:
            module.training = mode
