"""Quantizers under compilers and transformations of functions."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.operators.fake_quantize import fake_quantize
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from qcore.spec import QParams, QuantSpec
from tests.adapters.torch.quantizer_kinds import (
    X,
    each_kind,
    fixed,
    images,
    net,
    reference,
)

# What dynamo and inductor themselves do with the deprecated.
quiet = pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning",
    "ignore:.*script_method:DeprecationWarning",
)


@pytest.fixture
def compiled() -> Any:
    torch.compiler.reset()
    yield lambda f: torch.compile(f, fullgraph=True, backend="aot_eager")
    torch.compiler.reset()


@quiet
@each_kind
def test_a_compiled_quantizer_has_the_same_bits(
    make: Callable[[], TensorQuantizer], compiled: Any
) -> None:
    quantizer = make()
    run = compiled(quantizer)
    for x in (X, 3 * X):
        assert torch.equal(run(x), quantizer(x))


@quiet
@each_kind
def test_a_compiled_quantizer_has_the_same_gradients(
    make: Callable[[], TensorQuantizer], compiled: Any
) -> None:
    quantizer = make()
    grads = []
    for run in (compiled(quantizer), quantizer):
        quantizer.zero_grad()
        x = X.clone().requires_grad_()
        run(x).square().sum().backward()
        assert x.grad is not None
        grads.append([x.grad, *(p.grad for p in quantizer.parameters())])
    for ours, theirs in zip(*grads, strict=True):
        assert torch.equal(ours, theirs)


@quiet
@pytest.mark.parametrize("training", [False, True])
def test_a_compiled_network_is_one_graph_of_the_same_bits(
    compiled: Any, training: bool
) -> None:
    model = net().train(training)
    assert torch.equal(compiled(model)(images()), model(images()))


@quiet
@pytest.mark.slow
def test_inductor_fuses_nothing_into_a_quantizer() -> None:
    torch.compiler.reset()
    quantizer = fixed()

    def scaled(x: torch.Tensor) -> torch.Tensor:
        return quantizer(x * 1.5 + 0.25).relu()

    x = torch.randn(1000, generator=torch.manual_seed(2))
    assert torch.equal(torch.compile(scaled, fullgraph=True)(x), scaled(x))


@each_kind
def test_vmap_over_a_quantizer_equals_a_loop(
    make: Callable[[], TensorQuantizer],
) -> None:
    quantizer = make()
    batch = torch.stack([X, 2 * X, -X])
    found = torch.vmap(quantizer)(batch)
    assert torch.equal(found, torch.stack([quantizer(x) for x in batch]))


def test_vmap_over_scales_equals_a_loop() -> None:
    scales, zero = torch.tensor([0.01, 0.02, 0.5]), torch.tensor(0, dtype=torch.int32)

    def one(scale: torch.Tensor) -> torch.Tensor:
        return fake_quantize(X, QParams(scale, zero, QuantSpec()))

    assert torch.equal(torch.vmap(one)(scales), torch.stack([one(s) for s in scales]))


@each_kind
def test_functional_gradients_equal_autograd(
    make: Callable[[], TensorQuantizer],
) -> None:
    quantizer = make()
    x = X.clone().requires_grad_()
    quantizer(x).square().sum().backward()
    found = torch.func.grad(lambda x: quantizer(x).square().sum())(X)
    assert torch.equal(found, x.grad)


def test_gradients_per_sample_equal_a_loop() -> None:
    layer = QuantLinear(8, 3)
    params = {k: v.detach() for k, v in layer.named_parameters()}

    def loss(params: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, params, (x,)).square().sum()

    gradient = torch.func.grad(loss)
    found = torch.vmap(gradient, (None, 0))(params, X)["weight"]
    expected = torch.stack([gradient(params, x)["weight"] for x in X])
    torch.testing.assert_close(found, expected)


def test_gradients_per_sample_of_a_learned_scale_equal_a_loop() -> None:
    zero = torch.zeros(8, dtype=torch.int32)

    def loss(scale: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return fake_quantize(x, QParams(scale, zero, QuantSpec())).square().sum()

    gradient, scales = torch.func.grad(loss), torch.rand(8) / 100 + 0.01
    found = torch.vmap(gradient, (None, 0))(scales, X)
    assert torch.equal(found, torch.stack([gradient(scales, x) for x in X]))


def test_a_second_derivative_is_refused() -> None:
    quantizer = fixed()
    first = torch.func.grad(lambda x: quantizer(x).square().sum())
    with pytest.raises(RuntimeError, match="must be differentiated once"):
        torch.func.grad(lambda x: first(x).sum())(X)


@pytest.mark.parametrize("change", ["assigned", "in place"])
def test_a_compiled_quantizer_follows_a_changed_range(change: str) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=4.0))
    compiled = torch.compile(quantizer, fullgraph=True, backend="aot_eager")
    data = images()
    compiled(data)
    if change == "assigned":
        quantizer._amax = torch.tensor(0.5)
    else:
        quantizer._amax.fill_(0.5)
    assert torch.equal(compiled(data), reference(data, 0.5))
