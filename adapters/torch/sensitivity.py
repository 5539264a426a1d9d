"""Which layers lose most when they are quantized."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from math import inf, isnan
from operator import add
from typing import Any

import torch
from torch import nn

from qcore.adapters.progress import terminal_bar
from qcore.adapters.torch.calibration.batches import feed
from qcore.adapters.torch.evaluating import evaluating
from qcore.adapters.torch.given_model import check_model
from qcore.adapters.torch.nn.modules._utils import QuantizedModule
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.kept_stages import keeping_stages
from qcore.adapters.torch.quantizer.lookup import named_quantizers
from qcore.errors import NoDataError
from qcore.similarity import Similarity

Metric = Callable[[nn.Module, Any], float]
"""Called with the model and the loader."""

_SQNR = "sqnr"


@dataclass(frozen=True)
class Sensitivity:
    """What each layer costs; ``str`` gives a table.

    Attributes
    ----------
    values : mapping of str to float
        Name of each layer to the metric with it alone quantized, or, in reverse, with
        it alone left as it is. The layer that does most damage comes first.
    unquantized, quantized : float
        The metric of the model without and with all quantizers.
    metric : str
        Its name; ``"sqnr"`` is in dB.
    reverse : bool
        Whether all the others were quantized.
    """

    values: Mapping[str, float]
    unquantized: float
    quantized: float
    metric: str
    reverse: bool

    def __str__(self) -> str:
        """Return a line for each layer, and for the model with and without them."""
        rows = [(self._what, self.metric)]
        rows += [(_called(name), f"{x:.6g}") for name, x in self.values.items()]
        rows += [("(all)", f"{self.quantized:.6g}")]
        rows += [("(none)", f"{self.unquantized:.6g}")]
        left, right = (max(map(len, column)) for column in zip(*rows, strict=True))
        return "\n".join(f"{a.ljust(left)}  {b.rjust(right)}" for a, b in rows)

    def plot(self, path: str | os.PathLike[str], /) -> None:
        """
        Write a picture of the table, atomically; needs Matplotlib.

        Parameters
        ----------
        path : path
            Its suffix names the format, ``.png`` or another that Matplotlib knows.

        Raises
        ------
        ModuleNotFoundError
            If Matplotlib is not installed: ``pip install qcore-quant[report]``.
        ValueError
            If the format is unknown.
        OSError
            If the file cannot be written.
        """
        from qcore.adapters.torch.plots.matplotlib import (  # noqa: PLC0415 - an extra
            plot_bars,
        )

        plot_bars(
            path,
            {_called(name): x for name, x in self.values.items()},
            label=f"{self.metric}, {self._what} quantized",
            reference=("all quantized", self.quantized),
        )

    @property
    def _what(self) -> str:
        return "all layers but this" if self.reverse else "this layer alone"


def sensitivity(
    model: nn.Module,
    loader: Any,
    metric: Metric | None = None,
    *,
    reverse: bool = False,
    greater_is_better: bool = True,
) -> Sensitivity:
    """
    Return what quantizing each layer does to what a model computes.

    Parameters
    ----------
    model : Module
        Quantized, and calibrated unless its ranges are dynamic. It runs in eval mode
        and without gradients; modes and stages are as before afterwards, whatever
        happens.
    loader : iterable
        Batches, as `calibrate` takes them; read once by the default metric, so that a
        generator will do.
    metric : callable, optional
        Called with model and loader, returns a number, such as the accuracy. By default
        the power of the unquantized output over that of the difference, in dB.
    reverse : bool, optional
        Quantize all layers but one, instead of one alone.
    greater_is_better : bool, optional
        Of the metric. A loss is less the better.

    Returns
    -------
    Sensitivity
        Of every layer with enabled quantizers; quantizers outside of quantized layers
        stand for themselves.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If no quantizer is enabled.
    NoDataError
        If there is no batch, by the default metric.
    """
    check_model(model)
    if metric is None and not isinstance(loader, Iterable):
        raise TypeError(
            f"`loader` must be an iterable of batches; got {type(loader).__name__}."
        )
    if metric is not None and not callable(metric):
        raise TypeError(f"`metric` must be callable; got {metric!r}.")
    layers = _layers(model)
    if not layers:
        raise ValueError("`model` must have quantizers that are enabled; got none.")
    every = [quantizer for layer in layers.values() for quantizer in layer]
    settings: dict[str | None, Sequence[TensorQuantizer]] = {None: every}
    for name, layer in layers.items():
        settings[name] = [q for q in every if (q in layer) != reverse]
    with _one_by_one(model, every) as enable:
        if metric is None:
            found, nothing = _sqnr(model, loader, settings, enable), inf
        else:
            enable([])
            nothing, found = float(metric(model, loader)), {}
            for setting, chosen in terminal_bar(
                settings.items(), "sensitivity", "layer"
            ):
                enable(chosen)
                found[setting] = float(metric(model, loader))
    quantized = found.pop(None)
    ascending = greater_is_better != reverse
    ranked = sorted(found.items(), key=lambda item: _rank(item[1], ascending))
    return Sensitivity(
        values={str(name): value for name, value in ranked},
        unquantized=nothing,
        quantized=quantized,
        metric=_SQNR if metric is None else getattr(metric, "__name__", "metric"),
        reverse=reverse,
    )


def _rank(value: float, ascending: bool) -> tuple[bool, float]:
    """Return what to sort by: what is no number first."""
    return not isnan(value), value if ascending else -value


def _layers(model: nn.Module) -> dict[str, list[TensorQuantizer]]:
    """Return the enabled quantizers of each layer by its name."""
    layers: dict[str, list[TensorQuantizer]] = {}
    for name, quantizer in named_quantizers(model).items():
        stages = quantizer.stages
        if stages.is_enabled and (stages.quantizes or stages.clips):
            layers.setdefault(_layer_of(name, model), []).append(quantizer)
    return layers


def _layer_of(name: str, model: nn.Module) -> str:
    """Return the layer, or call of a function, that a quantizer belongs to."""
    owner = name.rpartition(".")[0]
    if isinstance(model.get_submodule(owner), nn.ModuleList):
        owner = owner.rpartition(".")[0]
    is_layer = isinstance(model.get_submodule(owner), QuantizedModule | nn.ModuleDict)
    return owner if is_layer else name


@contextmanager
def _one_by_one(
    model: nn.Module, quantizers: Sequence[TensorQuantizer]
) -> Iterator[Callable[[Sequence[TensorQuantizer]], None]]:
    """Give a function that enables some quantizers alone; go back in any case."""

    def enable(chosen: Sequence[TensorQuantizer]) -> None:
        wanted = set(chosen)
        for quantizer in quantizers:
            is_wanted = quantizer in wanted
            quantizer.stages = replace(quantizer.stages, is_enabled=is_wanted)

    with keeping_stages(model) as every:
        for quantizer in every:
            quantizer.disable_calib()
        with evaluating(model), torch.no_grad():
            yield enable


def _sqnr(
    model: nn.Module,
    loader: Iterable[Any],
    settings: Mapping[str | None, Sequence[TensorQuantizer]],
    enable: Callable[[Sequence[TensorQuantizer]], None],
) -> dict[str | None, float]:
    """Return signal over noise of the output under each setting, in dB."""
    parts: dict[str | None, list[Similarity]] = {name: [] for name in settings}
    batch = None
    for batch in terminal_bar(loader, "sensitivity", "batch"):
        enable([])
        wanted = [x.cpu() for x in _tensors(feed(model, batch))]
        for name, chosen in settings.items():
            enable(chosen)
            got = [x.cpu() for x in _tensors(feed(model, batch))]
            parts[name] += map(Similarity.of, wanted, got)
    if batch is None:
        raise NoDataError("`loader` must hold batches; got none.")
    return {
        name: float(reduce(add, seen).sqnr) if seen else inf
        for name, seen in parts.items()
    }


def _tensors(output: Any) -> list[torch.Tensor]:
    """Return the floating-point tensors in what a model returned."""
    if isinstance(output, torch.Tensor):
        return [output] if output.is_floating_point() else []
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, list | tuple):
        return [tensor for part in output for tensor in _tensors(part)]
    return []


def _called(name: str) -> str:
    return name or "(the model)"
