"""Give a quantized model back what rounding has cost it, layer by layer.

Each layer is looked at on what the quantized ones before it make of the data. Its
weights are rounded so that its output changes least ("GPTQ", arXiv:2210.17323), and its
bias then takes out the mean error that is left ("Data-Free Quantization Through Weight
Equalization and Bias Correction", arXiv:1906.04721).
"""

from collections.abc import Mapping
from contextlib import nullcontext

import torch
from array_api_compat import torch as xp
from torch import nn

from qcore.adapters.progress import terminal_bar
from qcore.adapters.recovery_levels import LEVELS, Level
from qcore.adapters.torch.calibration.model import ForwardLoop, runner
from qcore.adapters.torch.given_model import check_model, innermost
from qcore.adapters.torch.recovery.layers import Layer, add_to_bias, is_layer
from qcore.adapters.torch.recovery.means import Means
from qcore.adapters.torch.recovery.replay import Replay, replaying, unquantized
from qcore.adapters.torch.recovery.restoring import restored_on_failure
from qcore.adapters.torch.recovery.weights import Rounded, can_round
from qcore.errors import NoDataError, QuantError, StatisticsError, nearest
from qcore.recovery import bias_correction


def recover(
    model: nn.Module, forward_loop: ForwardLoop, /, *, level: Level = "full"
) -> nn.Module:
    """
    Let every layer's output change least by quantization, and keep its mean.

    Layers are gone through in the order in which they run, on what the quantized layers
    before them make of the data. Weights whose quantizer has fixed scales become what
    codes stand for that change the output least; then the bias takes out the mean error
    that is left. Of linear layers of tokens, outputs of three axes and more, it takes
    out that of their own weights: the mean of all errors is there that of a few tokens
    with huge numbers. Layers without a bias get one. Where input and weights are
    quantized to integers with fixed scales, biases become whole multiples of input
    scale x weight scale, as integer hardware adds them. Statistics are exact, so how
    the data is cut into batches matters no more than it does to what PyTorch computes.

    Parameters
    ----------
    model : Module
        Quantized, its weights those of the float model. Changed in place; it runs in
        eval mode and without gradients, and its modes and stages are as before
        afterwards, whatever happens. `save` must then be told to keep the weights.
    forward_loop : callable or iterable
        Data, or what runs the model on it, as of `calibrate`. It is asked once; its
        batches are held in memory, and run as often as there are layers.
    level : {"none", "bias", "gptq", "full"}, optional
        Nothing; biases alone; weights, too; all there is, which today is the same.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If the level is none of these.
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
    Weights stay that several layers share, or whose scales are not fixed. Those of a
    layer that runs several times are rounded for all of its inputs together. After an
    error all weights and biases are what they were.
    """
    check_model(model)
    check_level(level)
    run = runner(forward_loop)
    if level == "none":
        return model
    inner = innermost(model)
    names = {module: name for name, module in inner.named_modules() if is_layer(module)}
    if not names:
        raise QuantError("`model` must have quantized layers; it has none.")
    _check_apart(names)
    with replaying(inner):
        expected = Means()
        with unquantized(inner):
            replay = Replay(inner, run, list(names), expected.add)
        if not any(seen.count.any() for seen in expected.of.values()):
            raise NoDataError(
                "`forward_loop` must run the model's quantized layers on data; none of "
                "them saw any."
            )
        order = [layer for layer in replay.outputs if is_layer(layer)]
        for layer in order:
            expected.check(layer, names[layer])
        with restored_on_failure(order):
            for layer in terminal_bar(order, "recovering", "layer"):
                is_rounded = level != "bias" and can_round(layer, inner)
                _recover_layer(layer, names[layer], replay, expected, is_rounded)
    return model


def check_level(level: str, /) -> None:
    """Raise ValueError unless a level is known."""
    if level not in LEVELS:
        raise ValueError(
            f"`level` must be known; got {level!r}: {nearest(str(level), LEVELS)}"
        )


def _recover_layer(
    layer: Layer, name: str, replay: Replay, expected: Means, is_rounded: bool
) -> None:
    found, is_of_tokens = Means(), layer in expected.of_tokens
    weights = Rounded(layer, int(expected.of[layer].count.max()))
    looks = is_rounded or is_of_tokens
    if looks and weights.needs_range:
        with weights.ranging():
            replay.until(layer, lambda *_: None)
    with weights.looking() if looks else nullcontext():
        replay.until(layer, found.add)
    found.check(layer, name)
    try:
        shift = bias_correction(expected.of[layer], found.of[layer], xp=xp)
    except StatisticsError as error:
        raise StatisticsError(f"{name}: {error}") from error
    shift = shift.reshape(-1)
    if is_of_tokens:
        # The mean of all errors is that of a few tokens with huge numbers: it would
        # harm all others. What the weights err is everybody's.
        shift = weights.own_shift().to(shift)
    if is_rounded:
        shift = shift + weights.put().to(shift)
    add_to_bias(layer, shift)


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
