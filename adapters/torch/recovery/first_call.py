"""Whether a model computes what it did, asked by its first call."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from array_api_compat import torch as xp
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from qcore.recovery.same_function import check_none_lost, digits_lost


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
        check_none_lost("model", (_lost(x, y) for x, y in pairs))


def _lost(x: Any, y: Any) -> float:
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        return 0.0
    return float(digits_lost(x, y, torch.finfo(x.dtype).eps, xp=xp))


def _copied(given: Any) -> Any:
    return tree_map_only(torch.Tensor, torch.Tensor.clone, given)
