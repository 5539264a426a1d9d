"""Whether a model computes what it did, asked by its first call."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from qcore.errors import QuantError


class FirstCall:
    """The first call of a model.

    Parameters
    ----------
    model : Module
        It evaluates, and computes no gradients.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._call: Any = None
        self._result: Any = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keep the first of the calls that are made as long as the block lasts."""

        def begin(_: nn.Module, args: Any, kwargs: Any) -> None:
            if self._call is None:
                self._call = _copied((args, kwargs))

        def end(_: nn.Module, __: Any, result: Any) -> None:
            if self._result is None:
                self._result = _copied(result)

        handles = [
            self.model.register_forward_pre_hook(begin, with_kwargs=True, prepend=True),
            self.model.register_forward_hook(end),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def check_same(self) -> None:
        """Raise QuantError unless the model gives what it gave.

        Nothing is said of one that was not called itself.
        """
        if self._call is None:
            return
        args, kwargs = _copied(self._call)
        found = self.model(*args, **kwargs)
        pairs = zip(tree_leaves(self._result), tree_leaves(found), strict=True)
        # Half of the digits: what rounding in another place may cost a deep network.
        if not all(_difference(x, y) <= 1 for x, y in pairs):
            raise QuantError(
                "`model` must compute the same as before, but loses half of its "
                "digits. Makers must be all that scales the input of their readers, "
                "and readers all that reads it."
            )


def _difference(x: Any, y: Any) -> float:
    """Return how far two outputs are apart, 1 being half of their digits."""
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        return 0.0
    is_number = x.isfinite()
    if not is_number.any():
        return 0.0
    wide, other = (tensor[is_number].double() for tensor in (x, y))
    allowed: float = torch.finfo(x.dtype).eps ** 0.5
    return float((wide - other).abs().max() / wide.abs().max().clamp(1e-30)) / allowed


def _copied(given: Any) -> Any:
    return tree_map_only(torch.Tensor, torch.Tensor.clone, given)
