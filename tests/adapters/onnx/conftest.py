"""Small graphs in ONNX's own text form, and what runs them."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import onnxruntime
import pytest

Feed = Mapping[str, np.ndarray]
Build = Callable[..., onnx.ModelProto]
Run = Callable[..., np.ndarray]

RESIDUAL = """{
    [conv1] c = Conv<pads = [1, 1, 1, 1]>(x, w1, b1)
    [relu1] r = Relu(c)
    [pool] p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(r)
    [conv2] d = Conv<pads = [1, 1, 1, 1]>(p, w2, b2)
    [add] s = Add(d, p)
    [relu2] t = Relu(s)
    [mean] m = GlobalAveragePool(t)
    [flatten] f = Flatten(m)
    [gemm] y = Gemm<transB = 1>(f, w3, b3)
}"""


def build_model(
    inputs: str, outputs: str, body: str, opset: int = 17, **constants: np.ndarray
) -> onnx.ModelProto:
    """Return a model of the nodes that `body` lists, with initializers by name."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}]>'
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
def net(rng: np.random.Generator) -> onnx.ModelProto:
    """A network with a residual, of all kinds of operators but Concat and MatMul."""

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32) / 4

    return build_model(
        "float[N, 3, 8, 8] x",
        "float[N, 5] y",
        RESIDUAL,
        w1=normal(8, 3, 3, 3),
        b1=normal(8),
        w2=normal(8, 8, 3, 3),
        b2=normal(8),
        w3=normal(5, 8),
        b3=normal(5),
    )


@pytest.fixture
def samples(rng: np.random.Generator) -> list[dict[str, np.ndarray]]:
    return [{"x": x[None]} for x in rng.normal(size=(16, 3, 8, 8)).astype(np.float32)]


@pytest.fixture
def run() -> Run:
    """Return the first output of a model; it must load without a warning."""

    def run(model: onnx.ModelProto, feed: Feed, *, merge: bool = True) -> np.ndarray:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 2
        if not merge:  # QuantizeLinear and DequantizeLinear as they stand in the model
            level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.graph_optimization_level = level
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        return session.run(None, feed)[0]

    return run
