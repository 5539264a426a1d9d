"""Calibration of a model: its quantizers watch, then choose their ranges."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from qcore.adapters.progress import terminal_bar
from qcore.adapters.torch.calib import MaxCalibrator
from qcore.adapters.torch.calib.calibrator import is_empty
from qcore.adapters.torch.calibration.batches import feed
from qcore.adapters.torch.calibration.nonfinite import Watch
from qcore.adapters.torch.calibration.output_error import fit_weights
from qcore.adapters.torch.calibration.weight_operands import weight_operands
from qcore.adapters.torch.evaluating import evaluating
from qcore.adapters.torch.given_model import check_model, innermost
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.kept_stages import keeping_stages
from qcore.adapters.torch.quantizer.lookup import named_quantizers
from qcore.adapters.torch.rewriting.functional_hook import (
    QuantizesCalls,
    calibrating_calls,
)
from qcore.errors import NoDataError, QuantError

_log = logging.getLogger(__name__)

ForwardLoop = Callable[[nn.Module], Any] | Iterable[Any]
"""Runs the model on data, or is the data, in batches."""


def calibrate(
    model: nn.Module,
    forward_loop: ForwardLoop | None = None,
    /,
    *,
    strict: bool = True,
) -> nn.Module:
    """
    Choose the ranges of a model's quantizers from data, anew.

    Weights are calibrated on what they are. What a method finds depends on the values
    seen alone, not on the batches they came in.

    Parameters
    ----------
    model : Module
        Calibrated in place, in eval mode and without gradients, on what it computes
        unquantized. Modes are as before afterwards, whatever happens.
    forward_loop : callable or iterable, optional
        Called with the model; or batches, on any device: a tensor, a tuple (whose first
        items are the model's required parameters) or a mapping (whose items are
        parameters of that name). If left out, weights alone are calibrated.
    strict : bool, optional
        Raise if a quantizer saw nothing. If false, disable it, with a warning.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    NonFiniteError
        If a quantizer saw NaN or infinity; names it, and the batch.
    NoDataError
        If quantizers saw nothing; names them all. No range is changed then.
    TypeError
        If `forward_loop` is neither, or `model` no module.
    QuantError
        If the model has no quantizers.
    """
    check_model(model)
    kinds = TensorQuantizer | QuantizesCalls
    if not any(isinstance(module, kinds) for module in model.modules()):
        raise QuantError(
            "`model` must have quantizers to calibrate; it has none. `quantize` puts "
            "them in."
        )
    of_weights = {quantizer for quantizer, _ in weight_operands(model)}
    for _, quantizer in calibrated_quantizers(model):
        if forward_loop is not None or quantizer in of_weights:
            quantizer.calibrator.reset()
    collect(model, forward_loop)
    found = dict(calibrated_quantizers(model))
    if forward_loop is None:
        found = {name: q for name, q in found.items() if q in of_weights}
    load_ranges(found, strict=strict)
    fit_weights(model)
    return model


def collect(model: nn.Module, forward_loop: ForwardLoop | None = None, /) -> nn.Module:
    """
    Let a model's quantizers see data, in addition to what they saw before.

    Parameters
    ----------
    model, forward_loop
        As of `calibrate`. Weights are seen once.

    Returns
    -------
    Module
        The model, whose ranges are what they were; see `load_ranges`.

    Raises
    ------
    NonFiniteError, TypeError
        As `calibrate`.
    """
    if forward_loop is not None:
        run = runner(forward_loop)
    watch = Watch(lambda: calibrated_quantizers(model))
    with _watching(model):
        weights = _collect_weights(model)
        watch.check("the weights")
        for quantizer in weights:
            quantizer.disable_calib()
        if forward_loop is None:
            return model
        # Collecting is no work for a compiler, nor for many devices.
        inside = innermost(model)
        handle = inside.register_forward_hook(watch.after_forward)
        try:
            run(inside)
        finally:
            handle.remove()
        watch.check("the data")
    return model


def load_ranges(
    quantizers: nn.Module | dict[str, TensorQuantizer],
    method: str | None = None,
    /,
    *,
    strict: bool = True,
    **options: Any,
) -> None:
    """
    Let quantizers choose their ranges from what they saw; any time, any method.

    Parameters
    ----------
    quantizers : Module or dict of str to TensorQuantizer
        A model, or some of its quantizers by name.
    method, **options
        Of quantizers that collect histograms; what their descriptors say if left out.
    strict : bool, optional
        As of `calibrate`.

    Raises
    ------
    NoDataError
        If quantizers saw nothing; names them all.
    UnknownMethodError, TypeError
        If there is no such method or option.
    """
    if isinstance(quantizers, nn.Module):
        quantizers = dict(calibrated_quantizers(quantizers))
    unseen = [name for name, q in quantizers.items() if _saw_nothing(q)]
    shown = [name or "the quantizer" for name in unseen]
    if unseen and strict:
        raise NoDataError(
            f"every quantizer must have seen data; {', '.join(shown)} saw none. Feed "
            "data that reaches them, or pass strict=False to disable them."
        )
    for name, quantizer in quantizers.items():
        if name in unseen:
            quantizer.disable()
            continue
        is_max = isinstance(quantizer.calibrator, MaxCalibrator)
        given = {} if is_max or method is None else {"method": method, **options}
        try:
            quantizer.load_calib_amax(**given)
            _start_learning(quantizer)
        except (ValueError, TypeError, RuntimeError) as error:
            raise type(error)(f"{name or 'the quantizer'}: {error}") from error
    if unseen:
        _log.warning("Disabled, as they saw no data: %s.", ", ".join(shown))


def _saw_nothing(quantizer: TensorQuantizer) -> bool:
    seen = quantizer.calibrator.statistics
    return seen is None or is_empty(seen)


def _start_learning(quantizer: TensorQuantizer) -> None:
    """Let what is learned start at the range."""
    if quantizer.descriptor.learn_amax:
        quantizer.init_learn_amax()
    elif quantizer.descriptor.learn_scale:
        quantizer.init_learn_scale()


def calibrated_quantizers(model: nn.Module, /) -> list[tuple[str, TensorQuantizer]]:
    """Return those that take their range from data: enabled, and not fixed."""
    return [
        (name, quantizer)
        for name, quantizer in named_quantizers(model).items()
        if quantizer.calibrator is not None
        and quantizer.descriptor.amax is None
        and quantizer.is_enabled
    ]


@contextmanager
def _watching(model: nn.Module) -> Iterator[None]:
    """Calibrate instead of quantizing, in eval mode, and go back in any case."""
    wanted = calibrated_quantizers(model)
    with keeping_stages(model) as quantizers:
        for quantizer in quantizers:
            quantizer.stages = replace(
                quantizer.stages, calibrates=False, clips=False, quantizes=False
            )
        for _, quantizer in wanted:
            quantizer.enable_calib()
        with evaluating(model), calibrating_calls(model), torch.no_grad():
            yield


def _collect_weights(model: nn.Module) -> list[TensorQuantizer]:
    """Let quantizers of weights that saw nothing yet see them; return all of these."""
    wanted = {quantizer for _, quantizer in calibrated_quantizers(model)}
    found = []
    for quantizer, weight in weight_operands(model):
        if quantizer in wanted:
            if quantizer.calibrator.statistics is None:
                quantizer(weight)
            found.append(quantizer)
    return found


def check_loop(forward_loop: object, /) -> None:
    """Raise TypeError if something neither runs a model nor holds batches."""
    if not (callable(forward_loop) or isinstance(forward_loop, Iterable)):
        raise TypeError(
            "`forward_loop` must be callable, or an iterable of batches; got "
            f"{type(forward_loop).__name__}."
        )


def runner(forward_loop: ForwardLoop, /) -> Callable[[nn.Module], Any]:
    """Return what runs a model on data; raise TypeError if it is neither."""
    check_loop(forward_loop)
    if callable(forward_loop):
        return forward_loop

    def run(model: nn.Module) -> None:
        for batch in terminal_bar(forward_loop, "calibrating", "batch"):
            feed(model, batch)

    return run
