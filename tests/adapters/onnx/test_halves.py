"""Models in 16-bit floats."""

import numpy as np
import onnx

from qcore import QuantSpec, calibrate
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants, sqnr


def test_a_tensor_whose_type_nobody_tells_has_that_of_the_weight_it_meets(rng):
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["" : 19, "com.microsoft" : 1]>
        net (float16[N, 6] x) => (float16[N, 6] y)
        { h = MatMul(x, w) g = com.microsoft.Gelu(h) y = MatMul(g, w) }""")
    w = rng.normal(size=(6, 6)).astype(np.float16) / 2
    model.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    data = [{"x": rng.normal(size=(4, 6)).astype(np.float16)}]
    found = constants(adapter.quantize(model, data))
    assert found["g_scale"].dtype == np.float16


def test_codes_of_halves_are_joined_in_a_model_that_loads(build, run, rng):
    body = """{ c = Conv(x, k) d = Conv(x, q) j = Concat<axis = 1>(c, d)
        y = Conv(j, m) }"""
    shapes = {"k": (4, 3, 1, 1), "q": (2, 3, 1, 1), "m": (5, 6, 1, 1)}
    halves = {k: rng.normal(size=s).astype(np.float16) for k, s in shapes.items()}
    ends = "float16[1, 3, 4, 4] x", "float16[1, 5, 4, 4] y"
    model = build(*ends, body, opset=19, **halves)
    data = [{"x": rng.normal(size=(1, 3, 4, 4)).astype(np.float16)} for _ in range(4)]
    quantized = adapter.quantize(model, data)
    wanted = run(model, data[0]).astype(np.float32)
    assert sqnr(wanted, run(quantized, data[0]).astype(np.float32)) > 25


def test_scales_of_halves_are_halves_and_none_is_too_small(build, run, rng):
    body = "{ h = Gemm(x, w, b) \n y = MatMul(h, v) }"
    given = {"w": (8, 6), "b": (6,), "v": (6, 4)}
    arrays = {name: rng.normal(size=shape) for name, shape in given.items()}
    ends = [("float16[N, 8] x", "float16[N, 4] y"), ("float[N, 8] x", "float[N, 4] y")]
    halves, floats = (
        build(*names, body, **{k: a.astype(dtype) for k, a in arrays.items()})
        for names, dtype in zip(ends, (np.float16, np.float32), strict=True)
    )
    data = [{"x": x[None].astype(np.float16)} for x in rng.normal(size=(16, 8))]
    quantized = adapter.quantize(halves, data)
    onnx.checker.check_model(quantized, full_check=True)
    found = constants(quantized)
    seen = adapter.calibrate(floats, [{"x": s["x"].astype(np.float32)} for s in data])
    wide = calibrate(seen["x"], QuantSpec("uint8", symmetric=False)).scale
    assert found["x_scale"].dtype == np.float16
    assert 0 <= found["x_scale"] - wide < 2**-10 * wide
    assert found["w_scale"].dtype == np.float16
    assert found["b"].dtype == np.float16
    expected = run(halves, data[0]).astype(np.float32)
    assert sqnr(expected, run(quantized, data[0]).astype(np.float32)) > 25
