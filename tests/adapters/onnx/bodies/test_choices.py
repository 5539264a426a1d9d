"""What can be asked of products outside of bodies can be of those inside."""

import numpy as np
import pytest

from qcore.adapters.onnx import plan, quantize
from tests.adapters.onnx.bodies.graphs import LOOP, decoded
from tests.adapters.onnx.graphs import all_nodes, constants, sqnr


@pytest.mark.parametrize("kind", ["looped", "branched", "nested"])
@pytest.mark.parametrize("weight", ["int8", "int4", "float8_e4m3fn"])
def test_weights_inside_are_stored_in_codes_without_data(
    kind, weight, request, runs, choices, run
):
    model = request.getfixturevalue(kind)
    quantized = quantize(model, activation="float", weight=weight)
    products = {n.name for n in all_nodes(model.graph) if n.op_type == "MatMul"}
    assert decoded(quantized) == products
    assert not any(n.op_type == "QuantizeLinear" for n in all_nodes(quantized.graph))
    for sample in choices if kind == "branched" else runs:
        wanted, got = run(model, sample), run(quantized, sample)
        assert np.linalg.norm(wanted - got) < 0.2 * np.linalg.norm(wanted)


def test_blocks_of_4_bits_inside_are_packed(build, rng, run):
    v, w = rng.normal(size=(2, 32, 32)).astype(np.float32) / 6
    body = LOOP.replace("N, 4", "N, 32")
    bounds = {"low": np.float32(-9), "high": np.float32(9)}
    model = build("float[N, 32] x, int64 n", "float[N, 32] y", body, v=v, w=w, **bounds)
    options = {"activation": "float", "weight": "int4", "block": 16}
    standard = quantize(model, **options)
    packed = quantize(model, **options, weight_form="matmulnbits")
    types = [n.op_type for n in all_nodes(packed.graph) if n.name in {"inner", "outer"}]
    assert types == ["MatMulNBits"] * 2
    sample = {
        "x": rng.normal(size=(3, 32)).astype(np.float32),
        "n": np.asarray(2),
    }
    exact = run(standard, sample, merge=False)
    np.testing.assert_allclose(run(packed, sample), exact, rtol=1e-5, atol=1e-5)


def test_products_inside_find_their_scales_when_they_run(nested, runs, run):
    quantized = quantize(nested, activation="dynamic")
    types = [n.op_type for n in all_nodes(quantized.graph)]
    assert types.count("MatMulInteger") == 3
    for sample in runs:
        assert sqnr(run(nested, sample), run(quantized, sample)) > 25


@pytest.mark.parametrize("activation", ["int8", "float8_e4m3fn", "mxfp8_e4m3"])
def test_products_inside_can_be_of_rounded_floats(rough, run, activation):
    looped, runs = rough
    options = {"activation": activation, "fake": True, "include": ["inner"]}
    quantized = quantize(looped, runs, **options)
    assert not any("Linear" in n.op_type for n in all_nodes(quantized.graph))
    for sample in runs:
        assert sqnr(run(looped, sample), run(quantized, sample)) > 20


@pytest.mark.parametrize("activation", ["uint16", "float8_e4m3fn"])
def test_other_codes_inside(rough, run, activation):
    looped, runs = rough
    quantized = quantize(looped, runs, activation=activation)
    types = [n.op_type for n in all_nodes(quantized.graph)]
    assert types.count("QuantizeLinear") == 2
    for sample in runs:
        assert sqnr(run(looped, sample), run(quantized, sample)) > 20


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
def test_other_targets_read_codes_inside(nested, runs, run, target):
    quantized = quantize(nested, runs, target=target)
    assert decoded(quantized) == {"left", "deep", "outer"}
    for sample in runs:
        assert sqnr(run(nested, sample), run(quantized, sample)) > 25


def test_products_inside_are_chosen_by_name(looped, runs):
    planned = plan(looped, exclude=["inn*"])
    assert [(k.node, k.reason) for k in planned.kept_float] == [
        ("inner", "it is excluded")
    ]
    assert decoded(quantize(looped, runs, include=["inner"])) == {"inner"}


def test_tensors_inside_have_overrides_by_name(looped, runs):
    asked = {"s": {"range": (-16, 16)}, "v": {"format": "int8", "method": "minmax"}}
    quantized = quantize(looped, runs, overrides=asked, recover="none")
    held = constants(quantized)
    np.testing.assert_allclose(held["s_scale"], 32 / 255, rtol=1e-6)
    assert held["v_quantized"].dtype == np.int8
