"""SEMANTICS S3, item by item: export to ONNX."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import qcore.adapters.torch as package
from qcore.adapters.torch.nn import TensorQuantizer
from qcore.adapters.torch.tensor_quant import QuantDescriptor
from tests.adapters.torch.acceptance import (
    calibrated,
    exported,
    images,
    network,
    quantizers_of,
)
from tests.adapters.torch.onnx_runs import codes, constant, nodes, run

# PyTorch's exporter warns of itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
]


def kind_of(model: onnx.ModelProto, name: str) -> int:
    return onnx.helper.np_dtype_to_tensor_dtype(constant(model, name).dtype)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return calibrated(network(), images())


@pytest.fixture(scope="module")
def file(model: nn.Module) -> onnx.ModelProto:
    return exported(model, images())


def test_s3_15_fake_quantization_becomes_pairs_of_operators(
    file: onnx.ModelProto,
) -> None:
    quantize, dequantize = nodes(file), nodes(file, "DequantizeLinear")
    assert len(quantize) == len(dequantize) == 4
    for one, other in zip(quantize, dequantize, strict=True):
        assert other.input[0] == one.output[0]
        assert list(other.input[1:]) == list(one.input[1:])


def test_s3_15_what_is_exported_computes_the_same(
    model: nn.Module, file: onnx.ModelProto
) -> None:
    (found,) = run(file, images())
    np.testing.assert_allclose(found, model(images()).detach(), atol=1e-5)


@pytest.mark.parametrize(
    ("num_bits", "kind"),
    [(8, onnx.TensorProto.INT8), ((4, 3), onnx.TensorProto.FLOAT8E4M3FN)],
)
def test_s3_16_int8_and_fp8_are_exported(num_bits: Any, kind: int) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(num_bits, amax=2.0))
    written = exported(nn.Sequential(quantizer), images())
    (node,) = nodes(written)
    assert kind_of(written, node.input[2]) == kind


def test_s3_16_what_onnx_lacks_is_refused() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(format="float6_e2m3fn", amax=2.0))
    with pytest.raises(ValueError, match="float6_e2m3fn"):
        exported(nn.Sequential(quantizer), images())


def test_s3_17_calibrated_by_hand_it_exports() -> None:
    model = network()
    with pytest.raises(RuntimeError, match="calibrated"):
        exported(model, images())
    for quantizer in quantizers_of(model):
        quantizer.amax = torch.tensor(1.0)
    assert len(nodes(exported(model, images()))) == 4


def test_s3_18_the_switch_lasts_as_long_as_the_block() -> None:
    before = torch.onnx.export
    with package.enable_onnx_export():
        assert TensorQuantizer._enable_onnx_export
    with pytest.raises(KeyError), package.enable_onnx_export():
        raise KeyError
    assert not TensorQuantizer._enable_onnx_export
    assert torch.onnx.export is before


def test_s3_19_opset_10_and_the_checker_argument_are_accepted() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=2.0))
    written = exported(
        nn.Sequential(quantizer), images(), opset_version=10, enable_onnx_checker=False
    )
    assert written.opset_import[0].version == 10
    (node,) = nodes(written)
    assert not node.attribute


def test_s3_19_several_scales_need_the_axis_of_opset_13() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(axis=1, amax=np.ones((1, 3, 1, 1))))
    written = exported(nn.Sequential(quantizer), images(), opset_version=10)
    assert written.opset_import[0].version >= 13
    (node,) = nodes(written)
    assert [(a.name, a.i) for a in node.attribute] == [("axis", 1)]


@pytest.mark.parametrize(
    ("given", "top", "kind"),
    [({}, 127, np.int8), ({"unsigned": True}, 255, np.uint8)],
)
def test_s3_20_zero_points_and_scales_are_those_documented(
    given: Any, top: int, kind: type
) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=2.0, **given))
    written = exported(nn.Sequential(quantizer), images())
    scale, zero_point = (
        constant(written, name) for name in nodes(written)[0].input[1:]
    )
    assert scale == np.float32(2.0) / np.float32(top)
    assert (zero_point, zero_point.dtype) == (0, kind)


def test_s3_20_a_range_of_zero_has_scale_one() -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=0.0))
    written = exported(nn.Sequential(quantizer), images())
    assert constant(written, nodes(written)[0].input[1]) == 1


def test_s3_20_scales_along_two_axes_are_refused() -> None:
    quantizer = TensorQuantizer(
        QuantDescriptor(axis=(0, 1), amax=np.ones((2, 3, 1, 1)))
    )
    with pytest.raises(ValueError, match="one axis"):
        exported(nn.Sequential(quantizer), images())


def test_s3_20_a_narrow_range_keeps_its_lowest_code() -> None:
    desc = QuantDescriptor(amax=0.5, narrow_range=True)
    written = exported(nn.Sequential(TensorQuantizer(desc)), images())
    (found,) = codes(written, images())
    assert found.min() == -127


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_s3_20_halves_are_cast_around_the_pair(dtype: torch.dtype) -> None:
    quantizer = TensorQuantizer(QuantDescriptor(amax=2.0))
    written = exported(nn.Sequential(quantizer), images().to(dtype))
    kinds = [n.op_type for n in written.graph.node if n.op_type != "Constant"]
    assert kinds == ["Cast", "QuantizeLinear", "DequantizeLinear", "Cast"]


def test_s3_20_the_scale_of_fp8_is_amax_over_448() -> None:
    quantizer = TensorQuantizer(QuantDescriptor((4, 3), amax=2.0))
    written = exported(nn.Sequential(quantizer), images())
    scale = constant(written, nodes(written)[0].input[1])
    assert scale == np.float32(2.0) / np.float32(448)
    assert scale.shape == ()
