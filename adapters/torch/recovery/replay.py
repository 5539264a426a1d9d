"""The calls of a model, to be made again, as far as to one of its layers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from qcore.adapters.torch.evaluating import evaluating
from qcore.adapters.torch.quantizer.kept_stages import keeping_stages
from qcore.errors import QuantError

Seen = Callable[[nn.Module, torch.Tensor], None]
"""Told of each output of the modules that are watched."""

_Call = tuple[tuple[Any, ...], Mapping[str, Any]]


class _Reached(BaseException):
    """Ends a run; no module's ``except Exception`` shall stop it."""


@contextmanager
def replaying(model: nn.Module, /) -> Iterator[None]:
    """Let a model evaluate, without gradients or calibration; go back in any case."""
    with keeping_stages(model) as quantizers:
        for quantizer in quantizers:
            quantizer.disable_calib()
        with evaluating(model), torch.no_grad():
            yield


@contextmanager
def unquantized(model: nn.Module, /) -> Iterator[None]:
    """Let a model compute as if it had no quantizers; go back in any case."""
    with keeping_stages(model) as quantizers:
        for quantizer in quantizers:
            quantizer.stages = replace(quantizer.stages, quantizes=False, clips=False)
        yield


class Replay:
    """A run of a model on data, kept to be repeated.

    Attributes
    ----------
    calls : list of tuple
        Arguments of each call of the model, with copies of tensors: the data is held as
        long as this is.
    outputs : mapping
        How many outputs of each watched module the longest call saw, in the order in
        which they came first.
    """

    def __init__(
        self,
        model: nn.Module,
        run: Callable[[nn.Module], Any],
        watched: Sequence[nn.Module],
        seen: Seen,
    ) -> None:
        self.model = model
        self.calls: list[_Call] = []
        self.outputs: dict[nn.Module, int] = {}
        here: dict[nn.Module, int] = {}
        depth = 0

        def begin(_: nn.Module, args: Any, kwargs: Any) -> None:
            nonlocal depth
            depth += 1
            if depth == 1:  # else the model calls itself
                here.clear()
                self.calls.append(_copied((args, kwargs)))

        def end(*_: Any) -> None:
            nonlocal depth
            depth -= 1

        def count(module: nn.Module, output: torch.Tensor) -> None:
            if not depth:
                raise QuantError(
                    "`forward_loop` must call the model, so that its calls can be "
                    f"repeated; it calls a {type(module).__name__} inside of it."
                )
            here[module] = here.get(module, 0) + 1
            self.outputs[module] = max(self.outputs.get(module, 0), here[module])
            seen(module, output)

        handles = [
            model.register_forward_pre_hook(begin, with_kwargs=True, prepend=True),
            model.register_forward_hook(end, always_call=True),
        ]
        try:
            with _watching(watched, count):
                run(model)
        finally:
            for handle in handles:
                handle.remove()

    def until(self, module: nn.Module, seen: Seen, /) -> None:
        """Make all calls again, each as far as the last output of a module."""
        left = 0

        def stop(module: nn.Module, output: torch.Tensor) -> None:
            nonlocal left
            seen(module, output)
            left -= 1
            if not left:
                raise _Reached

        with _watching([module], stop):
            for call in self.calls:
                args, kwargs = _copied(call)
                left = self.outputs[module]
                with suppress(_Reached):
                    self.model(*args, **kwargs)


def _copied(call: _Call) -> _Call:
    """Return the arguments of a call, of which the next may write into the tensors."""
    copied: _Call = tree_map_only(torch.Tensor, torch.Tensor.clone, call)
    return copied


@contextmanager
def _watching(modules: Sequence[nn.Module], seen: Seen) -> Iterator[None]:
    def hook(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        seen(module, output)

    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
