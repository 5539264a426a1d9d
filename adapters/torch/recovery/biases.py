"""Bias correction, layer by layer: each sees the quantized ones before it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod

import torch
from array_api_compat import torch as xp
from torch import nn

from qcore.adapters.progress import terminal_bar
from qcore.adapters.torch.calibration.model import ForwardLoop, runner
from qcore.adapters.torch.configuration.axis_roles import channel_axis
from qcore.adapters.torch.given_model import check_model, innermost
from qcore.adapters.torch.recovery.layers import (
    Layer,
    add_to_bias,
    is_layer,
)
from qcore.adapters.torch.recovery.replay import Replay, replaying, unquantized
from qcore.errors import NoDataError, NonFiniteError, QuantError, StatisticsError
from qcore.granularity import PerChannel
from qcore.recovery import bias_correction
from qcore.statistics import Moments


def correct_biases(model: nn.Module, forward_loop: ForwardLoop, /) -> nn.Module:
    """
    Give every layer's output the mean it had before quantization.

    Layers are corrected in the order in which they run, on what the quantized layers
    before them make of the data. Layers without a bias get one. Where input and weights
    are quantized to integers with fixed scales, biases become whole multiples of input
    scale x weight scale, as integer hardware adds them. Means are exact, so how the
    data is cut into batches matters no more than it does to what PyTorch computes.

    Parameters
    ----------
    model : Module
        Quantized, its weights those of the float model. Changed in place; it runs in
        eval mode and without gradients, and its modes and stages are as before
        afterwards, whatever happens. `save` must then be told to keep the weights.
    forward_loop : callable or iterable
        Data, or what runs the model on it, as of `calibrate`. It is asked once; its
        batches are held in memory, and run as often as there are layers.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    QuantError
        If the model has no quantized layer, layers run without it, or two of them have
        one bias.
    NoDataError
        If no layer saw data.
    NonFiniteError
        If a layer's output is NaN or infinite; names it.
    StatisticsError
        If a layer sees another number of values once the model is quantized; names it.

    Notes
    -----
    After an error all biases are what they were.
    """
    check_model(model)
    run = runner(forward_loop)
    model = innermost(model)
    names = {module: name for name, module in model.named_modules() if is_layer(module)}
    if not names:
        raise QuantError("`model` must have quantized layers; it has none.")
    _check_apart(names)
    with replaying(model):
        expected = _Means()
        with unquantized(model):
            replay = Replay(model, run, list(names), expected.add)
        if not any(seen.count.any() for seen in expected.of.values()):
            raise NoDataError(
                "`forward_loop` must run the model's quantized layers on data; none of "
                "them saw any."
            )
        order = [layer for layer in replay.outputs if is_layer(layer)]
        for layer in order:
            expected.check(layer, names[layer])
        with _restored_on_failure(order):
            for layer in terminal_bar(order, "correcting biases", "layer"):
                found = _Means()
                replay.until(layer, found.add)
                found.check(layer, names[layer])
                try:
                    shift = bias_correction(expected.of[layer], found.of[layer], xp=xp)
                except StatisticsError as error:
                    raise StatisticsError(f"{names[layer]}: {error}") from error
                add_to_bias(layer, shift)
    return model


def _check_apart(names: Mapping[Layer, str]) -> None:
    """Refuse layers that share a bias: what corrects one would spoil the other."""
    owners: dict[torch.Tensor, str] = {}
    for layer, name in names.items():
        if isinstance(layer.bias, torch.Tensor):
            other = owners.setdefault(layer.bias, name)
            if other != name:
                raise QuantError(
                    f"every layer must have a bias of its own; {other} and {name} "
                    "share one."
                )


@contextmanager
def _restored_on_failure(layers: Sequence[Layer]) -> Iterator[None]:
    """Give layers back the biases that they had if the block raises."""
    before = [
        (layer, layer.bias, None if layer.bias is None else layer.bias.clone())
        for layer in layers
    ]
    try:
        yield
    except BaseException:
        for layer, bias, values in before:
            layer.bias = bias
            if bias is not None and values is not None:
                bias.copy_(values)
        raise


class _Means:
    """What layers' outputs are on average, exactly."""

    def __init__(self) -> None:
        self.of: dict[nn.Module, Moments] = {}

    def add(self, layer: nn.Module, output: torch.Tensor) -> None:
        """Take an output in."""
        assert is_layer(layer)
        axis = channel_axis(layer)
        # Batches may have any number of axes: all but that of the channels become one.
        rows = output.movedim(axis, 0)
        rows = rows.reshape(rows.shape[0], prod(rows.shape[1:]))
        if layer in self.of:
            self.of[layer] = self.of[layer].update(rows)
        else:
            self.of[layer] = Moments.of(rows, order=1, granularity=PerChannel(0), xp=xp)

    def check(self, layer: nn.Module, name: str) -> None:
        """Refuse what is not finite."""
        if int(self.of[layer].nonfinite.sum()):
            raise NonFiniteError(
                f"outputs must be finite; {name or 'the model'} gives NaN or infinity."
            )
