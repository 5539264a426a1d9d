"""Encodings as AIMET's own code reads them, where that is installed."""

import json

import numpy as np
import pytest

from qcore.adapters.records import read, write
from tests.adapters.records.cases import (
    BLOCKS,
    COLUMNS,
    FLOAT8,
    PER_CHANNEL,
    PER_TENSOR,
    decide,
    of_range,
)

encoding = pytest.importorskip(
    "aimet_onnx._encoding", reason="needs aimet-onnx, which is on PyPI"
)
quantsim = pytest.importorskip("aimet_onnx.quantsim")
onnx = pytest.importorskip("onnx")

EVERY = PER_TENSOR | PER_CHANNEL


@pytest.mark.parametrize(
    ("version", "specs"),
    [
        ("0.6.1", EVERY),
        ("1.0.0", EVERY),
        ("2.0.0", EVERY | COLUMNS | BLOCKS | {"e4m3": FLOAT8["e4m3"]}),
    ],
)
def test_aimet_reads_the_same_scales_and_zero_points(tmp_path, version, specs) -> None:
    tensors = decide(specs)
    write(tmp_path / "a.encodings", tensors, version=version)
    document = json.loads((tmp_path / "a.encodings").read_text())
    for name, one in written(document):
        found = encoding.EncodingBase.from_qnn_encoding_dict(one)
        ours = tensors[name]
        np.testing.assert_array_equal(found.scale.ravel(), ours.scale.ravel())
        if hasattr(found, "offset"):
            assert found.dtype == ours.spec.format.name
            zeros = -found.offset.ravel()
            np.testing.assert_array_equal(zeros, ours.zero_point.ravel())


def written(document):
    if document["version"] == "2.0.0":
        return [(one["name"], one) for one in document["encodings"]]
    parts = [document["activation_encodings"], document["param_encodings"]]
    if document["version"] == "0.6.1":
        return [pair for part in parts for pair in part.items()]
    return [(one["name"], one) for part in parts for one in part]


@pytest.fixture
def simulated():
    helper = onnx.helper
    x, y = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4])
        for name in "xy"
    )
    weights = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="product")
    graph = helper.make_graph([node], "g", [x], [y], [weights])
    opset = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return quantsim.QuantizationSimModel(made)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its own export
@pytest.mark.parametrize("version", ["0.6.1", "1.0.0", "2.0.0"])
def test_a_simulated_model_takes_our_encodings(tmp_path, simulated, version) -> None:
    spec = PER_TENSOR["uint8"]
    tensors = {"x": of_range(-1, 3, spec), "y": of_range(-7.5, 2, spec)}
    tensors["w"] = of_range(-1, 1, PER_TENSOR["image"])
    write(tmp_path / "a.encodings", tensors, version=version)
    quantsim.load_encodings_to_sim(
        simulated, str(tmp_path / "a.encodings"), strict=False
    )
    simulated.export(str(tmp_path), "back", encoding_version=version)
    found = read(tmp_path / "back.encodings")
    for name, one in tensors.items():
        assert found[name].scale.ravel() == one.scale
        assert found[name].zero_point.ravel() == one.zero_point
