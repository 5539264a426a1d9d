"""SEMANTICS S3, item by item: calibration, training, saving."""

import copy
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

import qcore.adapters.torch as package
from qcore.adapters.torch import calib, quant_modules
from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch.nn import TensorQuantizer
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from tests.adapters.torch.acceptance import (
    calibrated,
    collect_stats,
    compute_amax,
    exported,
    images,
    int8,
    network,
    normal,
    per_channel,
    per_tensor,
    quantizers_of,
)
from tests.adapters.torch.onnx_runs import nodes, run

# PyTorch's exporter warns of itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
]


@pytest.mark.parametrize("method", ["max", "entropy", "percentile", "mse"])
def test_s3_10_every_documented_method_calibrates(method: str) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(calib_method="histogram"))
    collect_stats(quantizer, [normal(4000), normal(4000, seed=1)])
    quantizer.load_calib_amax(method)
    largest = torch.cat([normal(4000), normal(4000, seed=1)]).abs().max()
    assert 0.3 * largest < quantizer.amax <= largest
    assert (method == "max") <= bool(quantizer.amax == largest)


def test_s3_11_the_flow_of_calibration_by_name() -> None:
    model = network()
    quantizers = [m for n, m in model.named_modules() if n.endswith("_quantizer")]
    for quantizer in quantizers:
        quantizer.enable_calib()
        quantizer.disable_quant()
    for batch in images(4).split(2):
        model(batch)
    for quantizer in quantizers:
        quantizer.load_calib_amax()
        quantizer.disable_calib()
        quantizer.enable_quant()
    assert len(quantizers) == 4
    assert model[0].input_quantizer.amax == images(4).abs().max()
    assert {q.amax.device for q in quantizers} == {model[0].weight.device}
    hidden = F.relu(
        F.conv2d(
            int8(images(4), images(4).abs().max()),
            per_channel(model[0].weight),
            model[0].bias,
        )
    )
    assert torch.equal(model[:2](images(4)), hidden)


@pytest.mark.parametrize("method", ["entropy", "mse", "percentile", "auto"])
def test_s3_11_a_method_in_the_descriptor_is_used(method: str) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(calib_method=method))
    collect_stats(quantizer, [normal(3000)])
    quantizer.load_calib_amax()
    assert 0 < quantizer.amax <= normal(3000).abs().max()


def test_s3_11_a_histogram_needs_a_method() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(calib_method="histogram"))
    collect_stats(quantizer, [normal(100)])
    with pytest.raises(TypeError, match=r"entropy.*mse.*percentile"):
        quantizer.load_calib_amax()


def test_s3_12_an_export_without_calibration_names_every_quantizer() -> None:
    model = network()
    with pytest.raises(RuntimeError) as caught:
        exported(model, images())
    for name in ("0._input", "0._weight", "3._input", "3._weight"):
        assert f"{name}_quantizer" in str(caught.value)


def test_s3_13_weights_learn_through_rounding_on_a_cosine_schedule() -> None:
    layer, x = quant_nn.QuantLinear(6, 1, bias=False), normal(5, 6)
    layer(x).sum().backward()
    expected = per_tensor(x).sum(0, keepdim=True)
    torch.testing.assert_close(layer.weight.grad, expected)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, eta_min=1e-5)
    for _ in range(10):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-5)


def step(model: nn.Module, lr: float) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    model(images()).square().sum().backward()
    optimizer.step()


def test_s3_14_ranges_stay_while_weights_train() -> None:
    model = calibrated(network(), images()).train()
    before = copy.deepcopy([q.amax for q in quantizers_of(model)])
    step(model, lr=1e-2)
    assert [q.amax.tolist() for q in quantizers_of(model)] == [
        a.tolist() for a in before
    ]


@pytest.fixture
def histograms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let new layers collect histograms of their input."""
    for layer in (quant_nn.QuantConv2d, quant_nn.QuantLinear):
        default = layer.default_quant_desc_input
        monkeypatch.setattr(layer, "default_quant_desc_input", default)
        layer.set_default_quant_desc_input(QuantDescriptor(calib_method="histogram"))


@pytest.mark.usefixtures("histograms")
def test_s3_21_defaults_are_histograms_of_activations_and_max_of_weights() -> None:
    for layer in (network()[0], network()[3]):
        assert isinstance(layer.input_quantizer._calibrator, calib.HistogramCalibrator)
        assert isinstance(layer.weight_quantizer._calibrator, calib.MaxCalibrator)


@pytest.mark.usefixtures("histograms")
def test_s3_22_statistics_are_collected_unquantized_and_stages_restored() -> None:
    model = network().eval()
    expected = F.relu(F.conv2d(images(), model[0].weight, model[0].bias)).flatten(1)
    collect_stats(model, [images()])
    assert model[3].input_quantizer._calibrator.statistics.max == expected.max()
    for quantizer in quantizers_of(model):
        assert repr(quantizer).endswith(" quant)")


@pytest.mark.usefixtures("histograms")
def test_s3_23_ranges_are_loaded_with_the_options_of_histograms() -> None:
    model = network().eval()
    collect_stats(model, [images(20)])
    compute_amax(model, method="percentile", percentile=90)
    expected = np.percentile(images(20).abs(), 90)
    assert float(model[0].input_quantizer.amax) == pytest.approx(expected, rel=0.01)
    largest = model[0].weight.abs().amax((1, 2, 3), keepdim=True)
    assert torch.equal(model[0].weight_quantizer.amax, largest)


@pytest.mark.usefixtures("histograms")
def test_s3_24_two_batches_of_512_are_1024_samples() -> None:
    halves, whole = (
        calibrated(network(), *images(1024).split(size)) for size in (512, 1024)
    )
    assert halves[0].input_quantizer.amax == whole[0].input_quantizer.amax


def test_s3_25_weights_are_per_channel_and_activations_per_tensor() -> None:
    model = calibrated(network(), images())
    for layer, shape in ((model[0], (4, 1, 1, 1)), (model[3], (5, 1))):
        assert layer.input_quantizer.amax.shape == ()
        assert layer.weight_quantizer.amax.shape == shape


@pytest.mark.usefixtures("histograms")
def test_s3_27_other_calibrations_need_no_other_data() -> None:
    model = network().eval()
    collect_stats(model, [normal(64, 3, 6, 6)])
    found = {}
    for percentile in (99.9, 99.99, 99.9):
        compute_amax(model, method="percentile", percentile=percentile)
        found[percentile] = model[0].input_quantizer.amax
    for method in ("mse", "entropy"):
        compute_amax(model, method=method)
        assert model[0].input_quantizer.amax > 0
    assert found[99.9] < found[99.99]


def test_s3_28_one_step_of_sgd_changes_every_weight() -> None:
    model = calibrated(network(), images()).train()
    before = copy.deepcopy(dict(model.named_parameters()))
    step(model, lr=1e-4)
    assert not any(torch.equal(p, before[n]) for n, p in model.named_parameters())


class Block(nn.Module):
    """A residual block."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = quant_nn.QuantConv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + x


class EditedBlock(Block):
    """The same, edited as in the tutorial."""

    def __init__(self) -> None:
        super().__init__()
        desc = quant_nn.QuantConv2d.default_quant_desc_input
        self.residual_quantizer = TensorQuantizer(desc)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + self.residual_quantizer(x)


def test_s3_29_the_identity_branch_is_quantized_by_hand_or_by_rewriting() -> None:
    edited = EditedBlock()
    rewritten = package.quantize_residuals(Block())
    assert isinstance(rewritten.residual_quantizer, TensorQuantizer)
    assert torch.equal(rewritten(images()), edited(images()))
    expected = edited.conv(images()) + per_tensor(images())
    assert torch.equal(edited(images()), expected)


def test_s3_92_a_state_dict_restores_a_calibrated_model_that_exports() -> None:
    buffer = io.BytesIO()
    before = calibrated(network(), images())
    torch.save(before.state_dict(), buffer)
    buffer.seek(0)
    with quant_modules.initialize():
        after = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)
        ).eval()
    after.load_state_dict(torch.load(buffer, map_location="cpu", weights_only=True))
    assert torch.equal(after(images()), before(images()))
    assert len(nodes(exported(after, images()))) == 4


FRESH = """
import io, sys, torch
from torch import nn
from qcore.adapters.torch import enable_onnx_export, quant_modules
quant_modules.initialize()
model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))
model.load_state_dict(torch.load(sys.argv[1], map_location="cpu", weights_only=True))
x = torch.load(sys.argv[2], weights_only=True)
with enable_onnx_export():
    torch.onnx.export(model.eval(), (x,), sys.argv[3], dynamo=False)
"""


@pytest.mark.slow
def test_s3_92_a_fresh_process_restores_and_exports(tmp_path: Path) -> None:
    model = calibrated(network(), images())
    paths = [str(tmp_path / name) for name in ("state.pt", "x.pt", "model.onnx")]
    torch.save(model.state_dict(), paths[0])
    torch.save(images(), paths[1])
    run_fresh = [sys.executable, "-P", "-c", FRESH, *paths]
    done = subprocess.run(run_fresh, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = run(onnx.load(paths[2]), images())
    np.testing.assert_allclose(found, model(images()).detach(), atol=1e-5)


def test_s3_92_the_keys_of_pytorch_quantization_load() -> None:
    layer = quant_nn.QuantLinear(6, 4)
    weight, x = normal(4, 6), normal(3, 6)
    amax = weight.abs().amax(1, keepdim=True)
    layer.load_state_dict(
        {
            "weight": weight,
            "bias": torch.zeros(4),
            "_input_quantizer._amax": torch.tensor(1.5),
            "_weight_quantizer._amax": amax,
        }
    )
    assert torch.equal(layer(x), F.linear(int8(x, 1.5), int8(weight, amax)))
