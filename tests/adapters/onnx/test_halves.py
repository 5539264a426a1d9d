"""Models in 16-bit floats."""

import numpy as np
import onnx

from qcore import QuantSpec, calibrate
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants, sqnr


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
