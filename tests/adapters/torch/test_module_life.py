"""What happens to quantized modules in a program: saved, copied, moved, compiled."""

import copy
import io
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, nn

from qcore.adapters.torch.nn.modules.quant_conv import QuantConv2d
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.operators.fake_quantize import fake_quantize
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from qcore.spec import QParams, QuantSpec

X = torch.randn(6, 8, generator=torch.manual_seed(0))
PER_ROW = QuantDescriptor(axis=0)


def fixed(amax: Any = 2.0, **settings: Any) -> TensorQuantizer:
    return TensorQuantizer(QuantDescriptor(amax=amax, **settings))


def calibrated(data: torch.Tensor = X, **settings: Any) -> TensorQuantizer:
    quantizer = TensorQuantizer(QuantDescriptor(**settings))
    quantizer.collect(data)
    quantizer.load_calib_amax()
    return quantizer


KINDS: dict[str, Callable[[], TensorQuantizer]] = {
    "fixed": fixed,
    "per row": lambda: fixed(np.linspace(1, 2, 6).reshape(6, 1)),
    "calibrated": calibrated,
    "asymmetric": lambda: calibrated(X + 1, symmetric=False),
    "dynamic": TensorQuantizer,
    "dynamic per row": lambda: TensorQuantizer(PER_ROW),
    "blocks": lambda: TensorQuantizer(QuantDescriptor(format="mxfp8_e4m3")),
    "fp8": lambda: fixed(num_bits=(4, 3)),
    "learned scale": lambda: fixed(learn_scale=True),
    "learned range": lambda: TensorQuantizer(
        QuantDescriptor(amax=1.5, learn_amax=True), if_clip=True
    ),
}
each_scaled = pytest.mark.parametrize(
    "make", [m for k, m in KINDS.items() if "learned" not in k]
)
"""Learned parameters follow the model's dtype, as all parameters do."""
each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
each_kept = pytest.mark.parametrize(
    "make", [m for k, m in KINDS.items() if "dynamic" not in k and k != "blocks"]
)


def reference(x: torch.Tensor, amax: Any, bits: int = 8) -> torch.Tensor:
    """Return fake quantization by torch's own operator."""
    qmax = 2 ** (bits - 1) - 1
    scale = float(torch.as_tensor(amax) / qmax)
    found: torch.Tensor = torch.fake_quantize_per_tensor_affine(
        x, scale, 0, -qmax - 1, qmax
    )
    return found


def net(**settings: Any) -> nn.Sequential:
    """Return a convolution and a layer, calibrated per tensor and per channel."""
    torch.manual_seed(0)
    desc = QuantDescriptor(**settings)
    made = nn.Sequential(
        QuantConv2d(3, 4, 3, quant_desc_input=desc),
        nn.ReLU(),
        nn.Flatten(),
        QuantLinear(64, 5, quant_desc_input=desc),
    )
    x = images()
    for layer in made:
        if isinstance(layer, QuantConv2d | QuantLinear):
            layer.input_quantizer.collect(x)
            layer.weight_quantizer.collect(layer.weight)
            layer.input_quantizer.load_calib_amax()
            layer.weight_quantizer.load_calib_amax()
        x = layer(x).detach()
    return made


def images() -> torch.Tensor:
    return torch.randn(2, 3, 6, 6, generator=torch.manual_seed(1))


def saved_and_loaded(state: Any, **options: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True, **options)


# State dicts: S3.55, S3.92.


@each_kept
def test_s3_92_a_state_dict_makes_a_fresh_quantizer_the_same(
    make: Callable[[], TensorQuantizer],
) -> None:
    quantizer = make()
    told = {**quantizer.descriptor.dict(), "amax": None}
    fresh = TensorQuantizer(QuantDescriptor(**told), if_clip=quantizer.stages.clips)
    fresh.load_state_dict(saved_and_loaded(quantizer.state_dict(), map_location="cpu"))
    assert torch.equal(fresh(X), quantizer(X))
    assert fresh.state_dict().keys() == quantizer.state_dict().keys()


def test_s3_92_a_calibrated_network_is_restored_from_its_state_dict() -> None:
    before = net()
    torch.manual_seed(5)
    fresh = nn.Sequential(
        QuantConv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), QuantLinear(64, 5)
    )
    fresh.load_state_dict(saved_and_loaded(before.state_dict()))
    assert torch.equal(fresh(images()), before(images()))


def test_s3_92_a_file_of_pytorch_quantization_loads(tmp_path: Path) -> None:
    # That package's keys and shapes: amax 0-d of activations, (4, 1, 1, 1) of weights.
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 4, 3)
    amax = plain.weight.detach().abs().amax((1, 2, 3), keepdim=True)
    state = {
        "conv.weight": plain.weight.detach(),
        "conv.bias": plain.bias.detach(),  # type: ignore[union-attr]
        "conv._input_quantizer._amax": torch.tensor(2.5),
        "conv._weight_quantizer._amax": amax,
    }
    torch.save(state, tmp_path / "model.pth")
    model = nn.Sequential()
    model.add_module("conv", QuantConv2d(3, 4, 3))
    loaded = torch.load(tmp_path / "model.pth", map_location="cpu", weights_only=True)
    assert str(model.load_state_dict(loaded)) == "<All keys matched successfully>"
    weight = torch.fake_quantize_per_channel_affine(
        plain.weight.detach(), amax.flatten() / 127, torch.zeros(4), 0, -128, 127
    )
    expected = nn.functional.conv2d(reference(images(), 2.5), weight, plain.bias)
    assert torch.equal(model(images()), expected)


def test_s3_92_amax_as_one_element_loads_too() -> None:
    quantizer = TensorQuantizer()
    quantizer.load_state_dict({"_amax": torch.tensor([2.5])})
    assert torch.equal(quantizer(X), reference(X, 2.5))


def test_s3_55_buffers_are_created_where_they_are_missing() -> None:
    quantizer = TensorQuantizer()
    assert not quantizer.state_dict()
    state = {"_amax": torch.tensor(3.0), "_pre_quant_scale": torch.tensor(0.5)}
    quantizer.load_state_dict(state)
    assert {name for name, _ in quantizer.named_buffers()} >= state.keys()
    assert torch.equal(quantizer(X), reference(X * 0.5, 3.0))


def test_s3_55_overwriting_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential()
    model.add_module("act", fixed())
    with caplog.at_level(logging.WARNING):
        model.load_state_dict({"act._amax": torch.tensor(3.0)})
    assert "act: amax is overwritten." in caplog.messages
    assert torch.equal(model(X), reference(X, 3.0))


def test_a_state_dict_without_amax_leaves_it_and_is_an_error_unless_not_strict() -> (
    None
):
    quantizer = fixed()
    with pytest.raises(RuntimeError, match=r"Missing key.*_amax"):
        quantizer.load_state_dict({})
    quantizer.load_state_dict({}, strict=False)
    assert torch.equal(quantizer(X), reference(X, 2.0))


def test_assigned_state_is_followed() -> None:
    quantizer = TensorQuantizer()
    quantizer.load_state_dict({"_amax": torch.tensor(2.5)}, assign=True)
    assert torch.equal(quantizer(X), reference(X, 2.5))


# Copies.


@each_kind
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda q: pickle.loads(pickle.dumps(q))]
)
def test_a_copy_computes_the_same(
    make: Callable[[], TensorQuantizer], copied: Callable[[Any], TensorQuantizer]
) -> None:
    quantizer = make()
    assert torch.equal(copied(quantizer)(X), quantizer(X))
    assert str(copied(quantizer)) == str(quantizer)


def test_a_copy_has_a_range_of_its_own() -> None:
    quantizer = fixed()
    other = copy.deepcopy(quantizer)
    other.amax = 1.0
    assert torch.equal(quantizer(X), reference(X, 2.0))
    assert torch.equal(other(X), reference(X, 1.0))


def test_a_copy_keeps_what_was_collected_and_collects_alone() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(calib_method="mse"))
    quantizer.collect(X)
    other = copy.deepcopy(quantizer)
    other.collect(10 * X)
    quantizer.load_calib_amax("max")
    assert quantizer.amax == X.abs().max()


# Moves.


@each_kept
@pytest.mark.parametrize("move", [nn.Module.half, nn.Module.double, nn.Module.bfloat16])
def test_ranges_and_scales_stay_float32(
    make: Callable[[], TensorQuantizer], move: Callable[[nn.Module], nn.Module]
) -> None:
    quantizer = make()
    before = dict(copy.deepcopy(quantizer).named_buffers())
    for name, buffer in move(quantizer).named_buffers():
        assert buffer.dtype == before[name].dtype
        assert torch.equal(buffer, before[name])


@each_scaled
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_model_may_change_its_dtype(
    make: Callable[[], TensorQuantizer], dtype: torch.dtype
) -> None:
    quantizer, x = make(), X.to(dtype)
    # float32 holds what 16 bits hold; codes are computed in it, or in float64.
    expected = quantizer(x.float()).detach()
    found = quantizer.to(dtype)(x)
    assert found.dtype == dtype
    torch.testing.assert_close(found.detach().float(), expected, rtol=0.01, atol=0)


@each_kind
def test_a_model_may_go_to_the_meta_device(make: Callable[[], TensorQuantizer]) -> None:
    found = make().to("meta")(X.to("meta"))
    assert (found.shape, found.device.type) == (X.shape, "meta")


def test_an_empty_model_on_meta_is_filled_from_a_state_dict() -> None:
    before = net()
    with torch.device("meta"):
        fresh = nn.Sequential(
            QuantConv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), QuantLinear(64, 5)
        )
    fresh.to_empty(device="cpu")
    fresh.load_state_dict(before.state_dict())
    assert torch.equal(fresh(images()), before(images()))


# Ranges that somebody else changes.


@pytest.mark.parametrize(
    "change",
    [
        lambda q: q._amax.fill_(1.0),
        lambda q: q._amax.mul_(0.5),
        lambda q: setattr(q, "_amax", torch.tensor(1.0)),
        lambda q: setattr(q, "amax", 1),
        lambda q: q.register_buffer("_amax", torch.tensor(1.0)),
        lambda q: q._buffers.update(_amax=torch.tensor(1.0)),
        lambda q: q.load_state_dict({"_amax": torch.tensor(1.0)}),
    ],
)
def test_a_changed_range_is_used_at_once(change: Callable[[Any], Any]) -> None:
    quantizer = fixed(2.0)
    quantizer(X)
    change(quantizer)
    assert torch.equal(quantizer(X), reference(X, 1.0))
    assert quantizer.amax == 1


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_what_was_calibrated_without_gradients_can_be_trained(
    mode: Callable[[], Any],
) -> None:
    layer = QuantLinear(8, 4)
    with mode():
        for quantizer, data in (
            (layer.input_quantizer, X),
            (layer.weight_quantizer, layer.weight),
        ):
            quantizer.collect(data)
            quantizer.load_calib_amax()
            layer(X)
    layer(X).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0
    assert torch.equal(layer.input_quantizer(X), reference(X, X.abs().max()))


def test_a_learned_scale_started_in_inference_mode_is_trained() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(learn_scale=True))
    with torch.inference_mode():
        quantizer.collect(X)
        quantizer.load_calib_amax()
        quantizer.init_learn_scale()
    quantizer(X).square().sum().backward()
    assert quantizer.learned_scale.grad is not None


# Training.


@pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()),
    reason="torch was built without Gloo",
)
@pytest.mark.parametrize("settings", [{}, {"learn_scale": True}], ids=str)
def test_ddp_trains_a_step_as_one_process_does(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        model = net(**settings)
        alone = copy.deepcopy(model)
        for trained in (nn.parallel.DistributedDataParallel(model), alone):
            optimizer = torch.optim.SGD(trained.parameters(), 0.1)
            trained(images()).square().sum().backward()
            optimizer.step()
    finally:
        distributed.destroy_process_group()
    for ours, theirs in zip(model.parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(model(images()), alone(images()))


@each_kind
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_quantizes_forwards_and_backwards(
    make: Callable[[], TensorQuantizer], dtype: torch.dtype
) -> None:
    layer = nn.Linear(8, 8)
    quantizer = make()
    with torch.autocast("cpu", dtype=dtype):
        found = quantizer(layer(X))
        (found.float() ** 2).sum().backward()
    assert found.dtype == dtype
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()
    for parameter in quantizer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


# Transformations.


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


@pytest.mark.parametrize("change", ["data", "numpy"])
def test_a_range_changed_without_a_trace_is_followed(change: str) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=4.0))
    data = images()
    quantizer(data)
    if change == "data":
        quantizer._amax.data.clamp_(max=0.5)
    else:
        quantizer._amax.numpy()[...] = 0.5
    assert torch.equal(quantizer(data), reference(data, 0.5))


def test_a_range_assigned_to_a_fresh_quantizer_is_used_and_saved() -> None:
    quantizer = TensorQuantizer()
    quantizer._amax = torch.tensor(0.5)
    assert torch.equal(quantizer(images()), reference(images(), 0.5))
    assert quantizer.state_dict()["_amax"] == 0.5
    with pytest.raises(TypeError, match="learn_amax"):
        TensorQuantizer()._amax = nn.Parameter(torch.tensor(0.5))


def test_a_number_for_a_range_lies_where_the_module_does() -> None:
    quantizer = TensorQuantizer().to("meta")
    quantizer.pre_quant_scale = 2.0
    assert quantizer.pre_quant_scale.device.type == "meta"


@pytest.mark.parametrize("learns", [False, True])
def test_gradients_have_gradients(learns: bool) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=1.0, learn_scale=learns))
    x = torch.tensor([0.3, -0.7, 2.0], requires_grad=True)
    (first,) = torch.autograd.grad((quantizer(x) ** 2).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert second.tolist() == [2, 2, 0]


def test_gradients_of_a_learned_scale_have_gradients() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=1.0, learn_scale=True))
    x = torch.tensor([0.3, -0.7, 2.0])
    factor = torch.tensor(3.0, requires_grad=True)
    y = (quantizer(x) * factor).sum()
    (first,) = torch.autograd.grad(y, quantizer.learned_scale, create_graph=True)
    (mixed,) = torch.autograd.grad(first, factor)
    assert mixed.item() == pytest.approx(first.item() / 3, rel=1e-5)
