"""A small network, samples for it, and what onnxruntime makes of both."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore.adapters import ppq
from qcore.methods import registry

Build = Callable[..., onnx.ModelProto]
Seen = Callable[[str], np.ndarray]

BODY = """{
    [conv1] c = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
    [relu] r = Relu(c)
    [pool] p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
    [conv2] d = Conv(p, w2, b2)
    [clip] k = Clip(d, low, high)
    [flatten] f = Flatten(k)
    [gemm] y = Gemm<transB = 1>(f, w3, b3)
}"""


def build_model(
    inputs: str, outputs: str, body: str, **constants: np.ndarray
) -> onnx.ModelProto:
    """Return a model of the nodes that `body` lists, with initializers by name."""
    head = '<ir_version: 8, opset_import: ["" : 17]>'
    model = onnx.parser.parse_model(f"{head} net ({inputs}) => ({outputs}) {body}")
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name)
        for name, array in constants.items()
    )
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def build() -> Build:
    return build_model


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def constants(rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes = {"w1": (4, 2, 3, 3), "b1": 4, "w2": (3, 4, 3, 3), "b2": 3}
    shapes |= {"w3": (5, 12), "b3": 5}
    drawn = {
        name: (rng.normal(size=shape) / 2).astype(np.float32)
        for name, shape in shapes.items()
    }
    return drawn | {"low": np.float32(-1), "high": np.float32(1.5)}


@pytest.fixture
def net(constants: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    return build_model("float[N, 2, 8, 8] x", "float[N, 5] y", BODY, **constants)


@pytest.fixture
def samples(rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    return [{"x": x[None]} for x in rng.normal(size=(8, 2, 8, 8)).astype(np.float32)]


@pytest.fixture
def graph(net: onnx.ModelProto) -> ppq.QuantizedGraph:
    return ppq.QuantizedGraph(net)


@pytest.fixture
def seen(net: onnx.ModelProto, samples: list[dict[str, np.ndarray]]) -> Seen:
    """Return the values that a tensor of the network has on all samples."""

    def seen(name: str) -> np.ndarray:
        if name == "x":
            return np.concatenate([sample["x"] for sample in samples])
        model = onnx.ModelProto()
        model.CopyFrom(net)
        model.graph.output.append(onnx.ValueInfoProto(name=name))
        session = onnxruntime.InferenceSession(model.SerializeToString())
        return np.concatenate([session.run([name], feed)[0] for feed in samples])

    return seen


@pytest.fixture
def own_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the methods that a test registers."""
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    monkeypatch.setattr(registry, "_aliases", dict(registry._aliases))
