"""Outputs that come in codes."""

import numpy as np
import onnx

from qcore.adapters import onnx as adapter
from tests.adapters.onnx.graphs import sqnr


def test_an_output_in_codes_keeps_its_name_and_all_that_is_said_of_it(build, rng, run):
    w = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    body = "{ [only] c = Conv(x, w)  y = Relu(c) }"
    model = build("float[N, 3, 8, 8] x", "float[N, 4, 6, 6] y", body, w=w)
    model.graph.output[0].doc_string = "of the only layer"
    data = [{"x": rng.normal(size=(1, 3, 8, 8)).astype(np.float32)} for _ in range(4)]
    quantized = adapter.quantize(model, data)
    onnx.checker.check_model(quantized, full_check=True)
    assert quantized.graph.output == model.graph.output
    last = quantized.graph.node[-1]
    assert (last.op_type, list(last.output)) == ("DequantizeLinear", ["y"])
    assert sqnr(run(model, data[0]), run(quantized, data[0])) > 30
