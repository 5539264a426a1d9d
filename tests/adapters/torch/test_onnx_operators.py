"""Every format against ONNX Runtime: same codes, same numbers."""

import io

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.onnx.operators import quantize_dequantize
from qcore.adapters.torch.operators.fake_quantize import quantize
from qcore.adapters.torch.quantizer.descriptor import QuantDescriptor
from qcore.errors import QuantError
from tests.adapters.torch.onnx_runs import (
    calibrate,
    codes,
    exported,
    node_type,
    nodes,
    run,
)

# PyTorch's exporters warn of themselves.
pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript"),
    pytest.mark.filterwarnings("ignore::FutureWarning:copyreg"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
]

# What both exporters can write: 8 bits.
BYTES = {
    "int8": {"amax": 2.0},
    "int8_channel": {"axis": 1},
    "int8_asymmetric": {"symmetric": False, "axis": 3},
    "int8_narrow": {"amax": 2.0, "narrow_range": True},
    "int8_narrow_channel": {"amax": [[[1.0]], [[2.0]], [[0.5]]], "narrow_range": True},
    "uint8": {"amax": 2.0, "unsigned": True},
    "uint8_asymmetric": {"unsigned": True, "symmetric": False},
    "int6": {"amax": 2.0, "num_bits": 6},
    "uint3": {"amax": 2.0, "num_bits": 3, "unsigned": True},
    "float8_e4m3fn": {"num_bits": (4, 3), "amax": 2.0},
    "float8_e5m2": {"format": "float8_e5m2", "amax": 1e-3},
}
# What only the newer can.
OTHERS = {
    "int4": {"num_bits": 4, "amax": 2.0},
    "int4_channel": {"num_bits": 4, "axis": 1},
    "uint4_asymmetric": {"num_bits": 4, "unsigned": True, "symmetric": False},
    "int16": {"num_bits": 16, "amax": 2.0},
    "int12_asymmetric": {"num_bits": 12, "symmetric": False},
    "int4_blocks": {"num_bits": 4, "block_sizes": {-1: 5}},
    "int8_blocks": {"block_sizes": {1: 2}},
    "uint8_blocks_asymmetric": {
        "unsigned": True,
        "symmetric": False,
        "block_sizes": {3: 4},
    },
    "int8_narrow_blocks": {
        "narrow_range": True,
        "block_sizes": {3: 4},
        "scale_amax": 0.5,
    },
    "float8_blocks": {"num_bits": (4, 3), "block_sizes": {-1: 4}},
}


class Quantizers(nn.Module):
    """Returns its input through each of several quantizers."""

    def __init__(self, descriptors):
        super().__init__()
        self.of = nn.ModuleList(
            TensorQuantizer(QuantDescriptor(**given)) for given in descriptors
        )

    def forward(self, x):
        return tuple(quantizer(x) for quantizer in self.of)


def data():
    """Return ties, values that saturate, and others."""
    steps = torch.arange(-144, 144).reshape(2, 3, 4, 12) / 2
    x = steps * (2.0 / 127)
    x[0, 0, 0] = torch.randn(12, generator=torch.Generator().manual_seed(0)) * 4
    # Beyond 2^31 steps onnxruntime 1.31 wraps int8 codes of blocks.
    x[1, 2, 3, :4] = torch.tensor([1e6, -1e6, 0.0, 1e-30])
    return x


def made(descriptors, dynamo):
    finite = data().clamp(-3, 3)
    model = calibrate(Quantizers(descriptors.values()), finite)
    proto = exported(model, data(), dynamo=dynamo)
    onnx.checker.check_model(proto, full_check=True)
    with torch.no_grad():
        expected = model(data())
    names = list(descriptors)
    return (
        dict(zip(names, model.of, strict=True)),
        dict(zip(names, nodes(proto), strict=True)),
        dict(zip(names, codes(proto, data()), strict=True)),
        dict(zip(names, zip(run(proto, data()), expected, strict=True), strict=True)),
        proto,
    )


@pytest.fixture(scope="module")
def current():
    return made(BYTES | OTHERS, dynamo=True)


@pytest.fixture(scope="module")
def older():
    return made(BYTES, dynamo=False)


def check(written, name):
    quantizers, _, found, values, _ = written
    expected = quantize(data(), quantizers[name].qparams())
    if quantizers[name].spec.format.name.startswith("float"):
        dtype = getattr(ml_dtypes, quantizers[name].spec.format.name)
        expected = expected.numpy().view(dtype).astype(np.float32)
    np.testing.assert_array_equal(found[name], expected)
    np.testing.assert_array_equal(*values[name])


@pytest.mark.parametrize("name", BYTES | OTHERS)
def test_s3_15_codes_and_numbers_are_those_of_onnxruntime(current, name):
    check(current, name)


@pytest.mark.parametrize("name", BYTES)
def test_the_torchscript_exporter_writes_the_same_codes(older, name):
    check(older, name)


def test_s3_20_scales_and_zero_points_are_constants(current):
    *_, proto = current
    constants = {tensor.name for tensor in proto.graph.initializer}
    for node in nodes(proto) + nodes(proto, "DequantizeLinear"):
        assert constants.issuperset(node.input[1:])


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("int8", "INT8"),
        ("uint8_asymmetric", "UINT8"),
        ("int6", "INT8"),
        ("int12_asymmetric", "INT16"),
        ("int4_blocks", "INT4"),
        ("uint4_asymmetric", "UINT4"),
        ("float8_e5m2", "FLOAT8E5M2"),
    ],
)
def test_codes_have_the_narrowest_type_that_holds_them(current, name, kind):
    *_, proto = current
    assert node_type(proto, current[1][name]) == kind


def test_s3_19_one_scale_has_no_axis_and_several_have(current):
    attributes = {
        name: {a.name: a.i for a in node.attribute} for name, node in current[1].items()
    }
    assert attributes["int8"] == {}
    assert attributes["int8_channel"] == {"axis": 1}
    assert attributes["int4_blocks"].items() >= {"axis": 3, "block_size": 5}.items()


def test_float4_gives_the_codes_of_the_onnx_reference():
    quantizer = {"format": "float4_e2m1fn", "block_sizes": {-1: 4}}
    model = calibrate(Quantizers([quantizer]), data())
    proto = exported(model, data(), dynamo=True)
    proto.ir_version = 11
    onnx.checker.check_model(proto, full_check=True)
    (values,) = ReferenceEvaluator(proto).run(None, {"x": data().numpy()})
    np.testing.assert_array_equal(values, model(data())[0])


def test_float4_of_an_odd_extent_is_refused(monkeypatch):
    model = calibrate(Quantizers([{"format": "float4_e2m1fn"}]), data()[..., :3])
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    with pytest.raises(QuantError, match=r"last axis .* must be even"):
        quantize_dequantize(data()[..., :3], model.of[0].qparams())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"format": "float6_e2m3fn", "amax": 1.0}, "float6_e2m3fn, which ONNX lacks"),
        ({"rounding": "half_up", "amax": 1.0}, "`rounding` must be 'half_even'"),
        ({"axis": (0, 1)}, r"one axis.*got the shape \(2, 3, 1, 1\)"),
    ],
)
def test_s3_16_what_onnx_cannot_say_is_refused_by_the_name_of_the_quantizer(
    given, said
):
    model = calibrate(Quantizers([{"amax": 1.0}, given]), data())
    with pytest.raises(QuantError, match=f"^'of.1' cannot be exported: .*{said}"):
        exported(model, data(), dynamo=True)


def test_the_torchscript_exporter_refuses_what_its_opsets_lack():
    model = calibrate(Quantizers([{"num_bits": 4, "amax": 1.0}]), data())
    with pytest.raises(QuantError, match=r"dynamo.*of\.0, which need opset 21"):
        exported(model, data(), dynamo=False)


def test_s3_19_opset_10_has_one_scale_for_a_tensor():
    model = calibrate(Quantizers([{"amax": 1.0}]), data())
    proto = exported(model, data(), dynamo=False, opset_version=10)
    onnx.checker.check_model(proto)
    assert [opset.version for opset in proto.opset_import] == [10]
    np.testing.assert_array_equal(run(proto, data())[0], model(data())[0])


@pytest.mark.parametrize(
    ("given", "asked", "opset"),
    [
        ({"amax": 1.0}, 20, 20),
        ({"axis": 1}, 10, 13),
        ({"num_bits": (4, 3), "amax": 1.0}, 17, 19),
        ({"num_bits": (4, 3), "amax": 1.0}, None, 19),
    ],
)
def test_the_opset_is_at_least_what_formats_need(given, asked, opset):
    model = calibrate(Quantizers([given]), data())
    proto = exported(model, data(), dynamo=False, opset_version=asked)
    assert [found.version for found in proto.opset_import] == [opset]


@pytest.mark.parametrize("switch", ["_enable_onnx_export", "use_fb_fake_quant"])
def test_s3_56_without_an_exporter_the_switches_change_no_number(monkeypatch, switch):
    model = calibrate(Quantizers([{"amax": 1.0}]), data())
    expected = model(data())[0]
    monkeypatch.setattr(TensorQuantizer, switch, True)
    torch.testing.assert_close(model(data())[0], expected, rtol=0, atol=0)


@pytest.mark.parametrize("dynamo", [True, False])
def test_the_older_switch_alone_exports(monkeypatch, dynamo):
    model = calibrate(Quantizers([{"axis": 1}, {"num_bits": 6, "amax": 1.0}]), data())
    expected = model(data())
    monkeypatch.setattr(TensorQuantizer, "use_fb_fake_quant", True)
    file = io.BytesIO()
    program = torch.onnx.export(
        model, (data(),), None if dynamo else file, dynamo=dynamo, verbose=False
    )
    proto = (
        program.model_proto if dynamo else onnx.load_model(io.BytesIO(file.getvalue()))
    )
    assert len(nodes(proto)) == 2
    for got, wanted in zip(run(proto, data()), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_s3_20_other_floats_are_cast_around_the_operators(dtype):
    model = calibrate(Quantizers([{"amax": 2.0}]), data().to(dtype))
    proto = exported(model, data().to(dtype), dynamo=False)
    kinds = ["Cast", "QuantizeLinear", "DequantizeLinear", "Cast"]
    assert [n.op_type for n in proto.graph.node if n.op_type != "Constant"] == kinds
    assert proto.graph.output[0].type == proto.graph.input[0].type


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_s3_20_other_floats_have_the_codes_of_float32(dtype):
    x = data().to(dtype)
    model = calibrate(Quantizers([{"amax": 2.0}]), x)
    (found,) = codes(exported(model, x, dynamo=False), x)
    np.testing.assert_array_equal(found, quantize(x.float(), model.of[0].qparams()))
