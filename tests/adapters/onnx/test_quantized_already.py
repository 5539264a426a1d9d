"""Models that hold codes before we see them."""

import numpy as np
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import constants, sqnr


def test_a_quantized_model_is_refused(net, samples):
    quantized = adapter.quantize(net, samples)
    with pytest.raises(QuantError, match=r"a float model; Q.*Linear 'x_Qua.*already"):
        adapter.quantize(quantized, samples)


def test_what_is_quantized_already_is_kept_if_asked(build, run, rng):
    w, v = (rng.normal(size=(6, 6)).astype(np.float32) for _ in range(2))
    scale, zero = np.float32(0.05), np.uint8(128)
    body = """{
        q = QuantizeLinear(x, scale, zero)
        d = DequantizeLinear(q, scale, zero)
        [theirs] h = MatMul(d, w)
        [ours] y = MatMul(h, v)
    }"""
    given = {"w": w, "v": v, "scale": scale, "zero": zero}
    model = build("float[N, 6] x", "float[N, 6] y", body, **given)
    data = [{"x": x[None]} for x in rng.normal(size=(8, 6)).astype(np.float32)]
    kept = adapter.quantize(model, data, keep_existing=True, exclude=["theirs"])
    found = constants(kept)
    assert (found["scale"], found["zero"]) == (scale, zero)
    assert {"w", "v_quantized"} <= found.keys()
    assert sqnr(run(model, data[0]), run(kept, data[0])) > 25
