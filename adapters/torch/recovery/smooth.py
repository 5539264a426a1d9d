"""Outliers of activations moved into weights, by the names of modules.

"SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
Models" (arXiv:2211.10438). What makes the input of linear layers is divided by a number
for each channel, and their weights are multiplied by it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from array_api_compat import torch as xp
from torch import nn

from qcore import Moments, PerChannel, QuantSpec
from qcore.adapters.torch.calibration.model import ForwardLoop, runner
from qcore.adapters.torch.evaluating import evaluating
from qcore.adapters.torch.given_model import check_model, innermost
from qcore.adapters.torch.recovery.first_call import FirstCall
from qcore.adapters.torch.recovery.named_pairs import Pair, read_pair
from qcore.errors import NoDataError, NonFiniteError, QuantError
from qcore.recovery import smooth_quant
from qcore.recovery.smooth_quant import USUAL_ALPHA


def smooth(
    model: nn.Module,
    forward_loop: ForwardLoop,
    pairs: Sequence[tuple[str, str | Sequence[str]]],
    /,
    *,
    alpha: float | None = USUAL_ALPHA,
    input_spec: QuantSpec | None = None,
    weight_spec: QuantSpec | None = None,
) -> nn.Module:
    """
    Change a float model's weights, not what it computes: activations lose outliers.

    Parameters
    ----------
    model : Module
        Not quantized yet. Changed in place; it runs in eval mode and without gradients.
    forward_loop : callable or iterable
        Data, or what runs the model on it, as of `calibrate`.
    pairs : sequence of (maker, readers)
        Names of modules. The maker is a norm with weights, such as LayerNorm, or a
        linear layer; behind it is nothing but what passes factors on, such as a ReLU.
        Readers are all linear layers whose input that is: ``("norm1", ["q", "k",
        "v"])``, ``("fc1", "fc2")``.
    alpha, input_spec, weight_spec : optional
        As of `qcore.recovery.smooth_quant`: how much of the outliers the weights take;
        None searches for what is best for such codes, by default of 8 bits.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, or a name that of no module.
    QuantError
        If a maker or reader is no such module, their channels do not fit, readers of
        one pair read different inputs, or the model would compute something else, since
        its maker or readers are used otherwise, too. The model is then as it was.
    NoDataError
        If a reader saw no data.
    NonFiniteError
        If an input is NaN or infinite; names the reader.
    """
    check_model(model)
    run = runner(forward_loop)
    inner = innermost(model)
    names = {module: name for name, module in inner.named_modules()}
    read = [read_pair(inner, one) for one in pairs]
    with evaluating(inner), torch.no_grad():
        seen: dict[nn.Module, Moments] = {}
        first = FirstCall(inner)
        watched = [layer for _, readers in read for layer in readers]
        with _watching(watched, seen), first.kept():
            run(inner)
        _check_seen(read, seen, names)
        changed = _changed(read, seen, alpha, input_spec, weight_spec)
        before = {parameter: parameter.clone() for parameter in changed}
        try:
            for parameter, values in changed.items():
                parameter.copy_(values)
            first.check_same()
        except BaseException:
            for parameter, values in before.items():
                parameter.copy_(values)
            raise
    return model


@contextmanager
def _watching(
    layers: Sequence[nn.Linear], seen: dict[nn.Module, Moments]
) -> Iterator[None]:
    """See the inputs of layers as long as the block lasts."""

    def hook(layer: nn.Module, args: Any, kwargs: Any) -> None:
        x = (*args, *kwargs.values())[0]
        rows = x.reshape(prod(x.shape[:-1]), x.shape[-1])
        seen[layer] = (
            seen[layer].update(rows)
            if layer in seen
            else Moments.of(rows, order=2, granularity=PerChannel(-1), xp=xp)
        )

    handles = [
        layer.register_forward_pre_hook(hook, with_kwargs=True)
        for layer in dict.fromkeys(layers)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check_seen(
    read: Sequence[Pair],
    seen: Mapping[nn.Module, Moments],
    names: Mapping[nn.Module, str],
) -> None:
    """Refuse readers that saw nothing, nothing finite, or different things."""
    for _, readers in read:
        for layer in readers:
            if layer in seen and int(seen[layer].nonfinite.sum()):
                raise NonFiniteError(
                    f"inputs must be finite; that of {names[layer]} holds NaN or "
                    "infinity."
                )
            if layer not in seen or not int(seen[layer].count.sum()):
                raise NoDataError(
                    f"`forward_loop` must run every reader; {names[layer]} saw nothing."
                )
            if not torch.equal(seen[layer].sums, seen[readers[0]].sums):
                raise QuantError(
                    "readers of one maker must have one input; those of "
                    f"{names[readers[0]]} and {names[layer]} differ."
                )


def _changed(
    read: Sequence[Pair],
    seen: Mapping[nn.Module, Moments],
    alpha: float | None,
    input_spec: QuantSpec | None,
    weight_spec: QuantSpec | None,
) -> dict[nn.Parameter, torch.Tensor]:
    """Return what parameters become, float32 or float64."""
    found: dict[nn.Parameter, torch.Tensor] = {}

    def now(parameter: Any) -> torch.Tensor:
        if parameter not in found:
            wide = torch.promote_types(parameter.dtype, torch.float32)
            found[parameter] = parameter.detach().to(wide, copy=True)
        return found[parameter]

    for maker, readers in read:
        scale = smooth_quant(
            seen[readers[0]],
            [now(layer.weight) for layer in readers],
            alpha=alpha,
            input_spec=input_spec,
            weight_spec=weight_spec,
            xp=xp,
        ).scale
        for layer in readers:
            now(layer.weight).mul_(scale)
        for parameter in (maker.weight, getattr(maker, "bias", None)):
            if isinstance(parameter, nn.Parameter):
                values = now(parameter)
                values.div_(scale.reshape(-1, *(1,) * (values.ndim - 1)))
    return found
