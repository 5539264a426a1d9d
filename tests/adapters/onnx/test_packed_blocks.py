"""MatMulNBits, an operator of onnxruntime, multiplies by the very same weights."""

import numpy as np
import onnx
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants

PACKED = {"activation": "float", "block": 32, "weight_form": "matmulnbits"}


@pytest.fixture
def product(build, rng):
    def product(rows):
        w = rng.normal(size=(rows, 7)).astype(np.float32)
        return build("float[N, K] x", "float[N, 7] y", "{ [m] y = MatMul(x, w) }", w=w)

    return product


@pytest.mark.parametrize("weight", ["int4", "uint4"])
@pytest.mark.parametrize("rows", [64, 100, 33])
def test_the_weights_are_bit_for_bit_those_of_the_standard_form(
    product, run, weight, rows
):
    model = product(rows)
    packed = adapter.quantize(model, weight=weight, **PACKED)
    onnx.checker.check_model(packed, full_check=True)
    (node,) = packed.graph.node
    assert (node.op_type, node.domain, node.name) == (
        "MatMulNBits",
        "com.microsoft",
        "m",
    )
    held = constants(
        adapter.quantize(model, weight=weight, activation="float", block=32)
    )
    codes, scale, zero = (
        held[f"w_{name}"].astype(np.float32)
        for name in ("quantized", "scale", "zero_point")
    )
    scale, zero = (a.repeat(32, axis=0)[:rows] for a in (scale, zero))
    # Each row of the unit matrix picks a row of the weights.
    rows_picked = run(packed, {"x": np.eye(rows, dtype=np.float32)}, merge=False)
    np.testing.assert_array_equal(rows_picked, (codes - zero) * scale)


def test_other_products_stay_in_the_standard_form(build, rng):
    w = rng.normal(size=(64, 64)).astype(np.float32)
    body = "{ a = MatMul(x, w)  b = Gemm(a, w)  y = MatMul(w, b) }"
    model = build("float[64, 64] x", "float[64, 64] y", body, w=w)
    packed = adapter.quantize(model, weight="int4", **PACKED)
    onnx.checker.check_model(packed, full_check=True)
    found = [node.op_type for node in packed.graph.node]
    assert [name for name in found if name != "DequantizeLinear"] == [
        "MatMulNBits",
        "Gemm",
        "MatMul",
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"weight": "int8"}, "int4 or uint4 and a block; got onnxruntime, int8 and 32"),
        ({"block": None}, "and a block; got onnxruntime, int4 and None"),
        ({"target": "openvino"}, "must come with target onnxruntime, weights"),
        ({"weight_form": "matmulnbit"}, "did you mean 'matmulnbits'"),
    ],
)
def test_what_has_no_packed_form_is_refused(product, options, said):
    with pytest.raises(QuantError, match=said):
        adapter.quantize(product(64), **{"weight": "int4", **PACKED, **options})


def test_weights_are_rounded_with_the_data_before_they_are_packed(product, run, rng):
    model = product(64)
    data = [{"x": rng.normal(size=(16, 64)).astype(np.float32)} for _ in range(8)]
    how = {"weight": "int4", "activation": "float", "block": 32}
    packed = adapter.quantize(model, data, **how, weight_form="matmulnbits")
    standard = adapter.quantize(model, data, **how)
    unit = {"x": np.eye(64, dtype=np.float32)}
    found, wanted = (run(m, unit, merge=False) for m in (packed, standard))
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    plain = adapter.quantize(model, data, **how, recover="none")
    assert not np.allclose(wanted, run(plain, unit, merge=False), atol=1e-3)
