"""Biases that cannot be corrected: the model stays as it was."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from qcore import NoDataError, NonFiniteError, QuantError
from qcore.adapters.torch import correct_biases, quantize
from tests.adapters.torch.recovery.residual import COARSE, Residual


def test_layers_that_run_without_their_model_are_refused(
    model: Residual, data: list[torch.Tensor]
) -> None:
    quantize(model, COARSE, data)
    with pytest.raises(
        QuantError, match=r"must call the model, .*a QuantConv2d inside"
    ):
        correct_biases(model, lambda model: [model.first(x) for x in data])
    assert not model._forward_hooks


def test_an_output_that_is_not_finite_names_its_layer(
    model: Residual, data: list[torch.Tensor]
) -> None:
    quantize(model, COARSE, data)
    with torch.no_grad():
        model.up.bias[1] = torch.inf
    with pytest.raises(NonFiniteError, match="must be finite; up gives NaN or inf"):
        correct_biases(model, data)
    assert not model.up._forward_hooks


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (lambda _: correct_biases(nn.Linear(2, 2), []), QuantError, "quantized layers"),
        (
            lambda m: correct_biases(m, []),
            NoDataError,
            "must run the model's quantized",
        ),
        (lambda m: correct_biases(m, 5), TypeError, "must be callable, or an iterable"),
        (lambda _: correct_biases(5, []), TypeError, "must be a torch.nn.Module"),
        (lambda m: quantize(m, recover=True), TypeError, "must be given to recover"),
        (
            lambda m: quantize(m, recover="no"),
            TypeError,
            "must be True, False or one of",
        ),
        (
            lambda m: correct_biases(m, [torch.zeros(0, 2, 6, 6)]),
            NoDataError,
            "none of them saw any",
        ),
    ],
)
def test_what_cannot_be_corrected_is_refused(
    data: list[torch.Tensor],
    given: Callable[[nn.Module], object],
    error: type[Exception],
    said: str,
) -> None:
    model = quantize(Residual(), COARSE, data)
    with pytest.raises(error, match=said):
        given(model)


def test_after_an_error_biases_are_what_they_were(
    model: Residual, data: list[torch.Tensor]
) -> None:
    model.first.bias = None
    quantize(model, COARSE, data)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def fail(module: nn.Module, *_: object) -> None:
        if module.bias is not None and not torch.equal(module.bias, before["up.bias"]):
            raise KeyboardInterrupt

    handle = model.up.register_forward_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        correct_biases(model, data)
    handle.remove()
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_layers_that_share_a_bias_are_named(data: list[torch.Tensor]) -> None:
    model = Residual()
    model.twice.bias = model.first.bias
    before = model.first.bias.clone()
    quantize(model, COARSE, data)
    with pytest.raises(QuantError, match="of its own; first and twice share one"):
        correct_biases(model, data)
    assert torch.equal(model.first.bias, before)
