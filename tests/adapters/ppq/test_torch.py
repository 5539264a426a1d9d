"""quantize_torch_model: items S2.9 and S2.11 with PyTorch."""

from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import qcore
from qcore.adapters import ppq
from qcore.adapters.ppq import QuantizationStates as States
from qcore.adapters.ppq import TargetPlatform
from qcore.adapters.ppq.torch import quantize_torch_model
from qcore.kernels import kernels

SHAPE = (4, 2, 8, 8)


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Dropout(),
        torch.nn.Linear(144, 3),
    )


@pytest.fixture
def batches() -> list[tuple[torch.Tensor, int]]:
    drawn = torch.Generator().manual_seed(1)
    return [(torch.randn(SHAPE, generator=drawn), label) for label in range(8)]


def first(batch: tuple[torch.Tensor, int]) -> torch.Tensor:
    return batch[0]


def test_s2_11_a_torch_model_is_quantized_by_the_call_of_ppq(
    model: torch.nn.Module, batches: list[tuple[torch.Tensor, int]]
) -> None:
    setting = ppq.QuantizationSettingFactory.default_setting()
    setting.quantize_activation = True
    graph = quantize_torch_model(
        model=model,
        calib_dataloader=batches,
        setting=setting,
        platform=TargetPlatform.PPL_CUDA_INT8,
        calib_steps=8,
        input_shape=SHAPE,
        collate_fn=first,
        device="cpu",
    )
    assert model.training
    (name,) = (v.name for v in graph.model.graph.input)
    (answer,) = graph.run({name: batches[0][0].numpy()}).values()
    with torch.no_grad():
        wanted = model.eval()(batches[0][0]).numpy()
    assert ((answer - wanted) ** 2).sum() < 2e-3 * (wanted**2).sum()
    roles = {config.role: config.state for config in graph.tensors.values()}
    assert roles["weight"] is States.BAKED


# What each observer does per value (tally) and per candidate; for isotone PPQ has none.
@pytest.mark.parametrize("kernel", ["tally", "search_affine", "divergence", "solve"])
def test_s2_9_what_observers_do_has_a_function_for_cuda(kernel: str) -> None:
    pytest.importorskip("triton", reason="needs Triton, which PyTorch for CUDA brings")
    assert import_module("qcore.backends.torch")
    sources = {native.source for native in kernels()[kernel].natives["torch"]}
    assert sources & {
        f"qcore.backends.torch.{name}" for name in ("cuda", "search", "triton")
    }


def test_example_inputs_may_take_the_place_of_a_shape(
    model: torch.nn.Module,
    batches: list[tuple[torch.Tensor, int]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "float.onnx"
    graph = quantize_torch_model(
        model, batches, 8, inputs=[batches[0][0]], onnx_export_file=path
    )
    assert graph.tensors
    floats = onnx.load(path)
    assert {node.op_type for node in floats.graph.node}.isdisjoint({"QuantizeLinear"})


def test_gradients_do_not_keep_samples_from_being_read(model: torch.nn.Module) -> None:
    sample = torch.randn(SHAPE, requires_grad=True)
    graph = quantize_torch_model(model, [sample], 8, SHAPE)
    x = next(iter(graph.tensors.values()))
    np.testing.assert_allclose(
        x.scale, np.ptp(sample.detach().numpy()) / 255, rtol=0.05
    )


def test_just_one_of_shape_and_inputs_must_be_given(model: torch.nn.Module) -> None:
    with pytest.raises(qcore.QuantError, match="one of `input_shape` and `inputs`"):
        quantize_torch_model(model, [])
