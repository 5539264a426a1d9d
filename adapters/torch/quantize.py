"""A quantized model, in one call."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from qcore.adapters.recovery_levels import LEVELS, Level
from qcore.adapters.torch.calibration.model import ForwardLoop, calibrate, check_loop
from qcore.adapters.torch.configuration.reading import read_config
from qcore.adapters.torch.given_model import check_model
from qcore.adapters.torch.recovery.recover import recover as recovered
from qcore.adapters.torch.rewriting.replacing import replace_modules


def quantize(
    model: nn.Module,
    config: Any = None,
    forward_loop: ForwardLoop | None = None,
    *,
    strict: bool = True,
    recover: bool | Level = False,
) -> nn.Module:
    """
    Quantize a model: put quantized modules into it and calibrate them.

    Parameters
    ----------
    model : Module
        Changed in place; copy it first (`copy.deepcopy`) to keep the float one.
    config : optional
        Which modules and how, as of `configuration.reading`: rules as data, text or a
        path, the name of a preset, or a configuration of TensorRT Model Optimizer. By
        default ``"int8"``: weights per output channel, so that the layer's output
        changes least; activations per tensor, with a zero point. TensorRT needs
        ``"int8_symmetric"``.
    forward_loop : callable or iterable, optional
        Data, or what runs the model on it, see `calibrate`. If left out, activations
        are quantized by the range of each tensor until the model is calibrated.
    strict : bool, optional
        As of `calibrate`.
    recover : bool or {"none", "bias", "gptq", "full"}, optional
        Win back accuracy that calibration alone leaves, on the same data, see
        `recovery.recover.recover`; true is ``"full"``. The data is then held in memory.

    Returns
    -------
    Module
        The model; a new object only if it was itself a layer such as Linear.

    Raises
    ------
    TypeError, ValueError
        If the configuration is not valid; nothing is changed then.
    NonFiniteError, NoDataError
        As `calibrate` and, if asked to recover, `recover`.
    """
    check_model(model)
    level = _level(recover)
    if forward_loop is not None:
        check_loop(forward_loop)
    elif level != "none":
        raise TypeError("`forward_loop` must be given to recover accuracy; got None.")
    read = read_config(config)
    if level != "none" and isinstance(forward_loop, Iterator):
        forward_loop = list(forward_loop)  # it is gone through twice
    quantized = replace_modules(model, read).model
    if read.calibrates:
        calibrate(quantized, forward_loop, strict=strict)
    if forward_loop is not None:
        recovered(quantized, forward_loop, level=level)
    return quantized


def _level(recover: bool | Level) -> Level:
    if isinstance(recover, bool):
        return "full" if recover else "none"
    for level in LEVELS:
        if level == recover:
            return level
    raise TypeError(
        f"`recover` must be True, False or one of {', '.join(LEVELS)}; got {recover!r}."
    )
