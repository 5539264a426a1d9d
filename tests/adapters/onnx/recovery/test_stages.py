"""A graph that runs in stages gives what it gives as a whole."""

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest

from qcore.adapters import onnx as adapter
from qcore.adapters.onnx.recovery.held import Held
from qcore.adapters.onnx.recovery.layers import layers
from qcore.adapters.onnx.recovery.stage_run import run_stage
from qcore.adapters.onnx.recovery.stages import next_stage

BODY = """{
    [one] a = Conv<pads = [1, 1, 1, 1]>(x, w)  r = Relu(a)
    [two] b = Conv<pads = [1, 1, 1, 1]>(r, v)  s = Add(b, r)  t = Tanh(s)
    c = Softmax(t)  [three] d = MatMul(c, m)
    e = If(flag) <
        then_branch = g1 () => (float[N, 4, 8, 8] p) { p = Add(d, t) },
        else_branch = g2 () => (float[N, 4, 8, 8] q) { q = Neg(d) }
    >
    [four] y = MatMul(e, m)
}"""


@pytest.fixture
def quantized(build, rng):
    constants = {
        "w": rng.normal(size=(4, 4, 3, 3)),
        "v": rng.normal(size=(4, 4, 3, 3)),
        "m": rng.normal(size=(8, 8)),
    }
    constants = {name: array.astype(np.float32) for name, array in constants.items()}
    inputs = "float[N, 4, 8, 8] x, bool flag"
    model = build(inputs, "float[N, 4, 8, 8] y", BODY, **constants)
    return adapter.quantize(model, samples(rng, 4), recover="none")


def samples(rng, count):
    return [
        {
            "x": rng.normal(size=(1 + n, 4, 8, 8)).astype(np.float32),
            "flag": np.array(n % 2 == 0),
        }
        for n in range(count)
    ]


def test_what_layers_get_is_what_they_get_in_the_whole_model(quantized, rng, tmp_path):
    model = ir.from_proto(quantized)
    found = list(layers(model.graph))
    assert [layer.name for layer in found] == ["one", "two", "three", "four"]
    wanted = quantized.__class__.FromString(quantized.SerializeToString())
    wanted.graph.output.extend(
        [type(wanted.graph.output[0])(name=layer.x.name) for layer in found]
    )
    session = onnxruntime.InferenceSession(wanted.SerializeToString())
    held = Held(tmp_path, 10**6)
    feeds = samples(rng, 3)
    for feed in feeds:
        held.add_sample(feed)
    ran = set()
    for place, layer in enumerate(found):
        stage = next_stage(model.graph, ran, layer.node)
        run_stage(model, stage, held)
        ran.update(stage.nodes)
        held.keep({value.name for value in stage.needed})
        for number, feed in enumerate(feeds):
            codes = session.run(None, feed)[1 + place]
            np.testing.assert_array_equal(held.get(number, layer.x.name), codes)
    assert all(set(sample) <= {layer.x.name, "flag"} for sample in held)


def test_no_node_runs_twice_but_those_that_decode(quantized):
    model = ir.from_proto(quantized)
    ran, order = set(), []
    for layer in layers(model.graph):
        stage = next_stage(model.graph, ran, layer.node)
        ran.update(stage.nodes)
        order += [n.name for n in stage.nodes if n.op_type != "DequantizeLinear"]
    assert len(order) == len(set(order))
