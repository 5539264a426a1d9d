"""Files that are no models, or bad ones: one sentence, exit 2 and nothing written."""

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qcore.adapters.cli import main

Refused = Callable[..., str]


@pytest.fixture
def refused(data: Path, tmp_path: Path, capfd) -> Refused:
    """A function that sees a model refused by two commands, and gives the sentence.

    What onnxruntime itself writes to stderr counts, too.
    """

    def run(source: Path) -> str:
        before = sorted(tmp_path.rglob("*"))
        output = tmp_path / "out"
        said = set()
        for command, *options in (
            ("quantize", "--data", data, "-o", output),
            ("calibrate", "--data", data, "-o", output),
        ):
            code = main([command, str(source), *map(str, options)])
            out, err = capfd.readouterr()
            assert (code, out, err.count("\n")) == (2, "", 1), err
            said.add(err.partition(": ")[2])
        assert sorted(tmp_path.rglob("*")) == before
        (sentence,) = said
        return sentence

    return run


@pytest.fixture
def changed(model: Path) -> Callable[..., Path]:
    """A function that changes the digits network and gives its path."""

    def change(edit: Callable[[onnx.ModelProto], object]) -> Path:
        proto = onnx.load(model)
        edit(proto)
        model.write_bytes(proto.SerializeToString())
        return model

    return change


def test_a_model_cut_off_anywhere_is_no_model(refused: Refused, model: Path) -> None:
    content = model.read_bytes()
    for length in (*range(1, 40, 3), *range(100, len(content), 3000)):
        model.write_bytes(content[:length])
        refused(model)


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n", b"{}", b"<html></html>", bytes(1000), b"\xff" * 1000],
)
def test_another_kind_of_file_is_no_model(
    refused: Refused, model: Path, content: bytes
) -> None:
    model.write_bytes(content)
    assert "must be an ONNX" in refused(model)


def test_a_folder_is_no_model(refused: Refused, tmp_path: Path) -> None:
    assert "there is no file" in refused(tmp_path)


def test_a_cycle(refused: Refused, changed) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        proto.graph.node[0].input[0] = proto.graph.node[-1].output[0]

    assert "must have no cycle; Conv 'stem'" in refused(changed(edit))


def test_huge_extents_allocate_nothing(refused: Refused, changed) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[0].dims[0] = 2**50

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "must hold" in refused(changed(edit))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 100_000  # kB


def test_a_huge_constant_is_not_made(refused: Refused, changed) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        shape = onnx.numpy_helper.from_array(np.int64([2**20, 2**20]), "huge")
        proto.graph.initializer.append(shape)
        fill = helper.make_node("ConstantOfShape", ["huge"], ["zeros"])
        total = helper.make_node("ReduceSum", ["zeros"], ["zero"], keepdims=0)
        logits = proto.graph.output[0].name
        proto.graph.node[-1].output[0] = "plain"
        add = helper.make_node("Add", ["plain", "zero"], [logits])
        proto.graph.node.extend([fill, total, add])

    assert "onnxruntime" in refused(changed(edit))


def test_an_initializer_shorter_than_its_shape(refused: Refused, changed) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        tensor.raw_data = tensor.raw_data[:-4]

    assert "tensor 'stem.weight' of the model must hold" in refused(changed(edit))


def test_an_initializer_of_another_type(refused: Refused, changed) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        (weight,) = (t for t in proto.graph.initializer if t.name == "stem.weight")
        array = onnx.numpy_helper.to_array(weight).astype(np.int32)
        weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))

    assert "onnxruntime" in refused(changed(edit))


def test_a_type_that_does_not_exist(refused: Refused, changed) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        proto.graph.initializer[0].data_type = 99

    assert "its type is 99" in refused(changed(edit))


@pytest.mark.parametrize("location", ["../w", "/etc/hostname", "missing", "link"])
def test_weights_in_a_file_out_of_reach(
    refused: Refused, changed, tmp_path: Path, location: str
) -> None:
    (tmp_path / "link").symlink_to("/etc/hostname")

    def edit(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    expected = "is no file" if location == "missing" else "in the folder of the model"
    assert expected in refused(changed(edit))


@pytest.mark.parametrize(
    ("domain", "operator"), [("", "Magic"), ("mine", "Magic"), ("com.microsoft", "Nix")]
)
def test_an_operator_that_nothing_knows(
    refused: Refused, changed, domain: str, operator: str
) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        node = next(n for n in proto.graph.node if n.op_type == "Relu")
        node.op_type, node.domain = operator, domain
        if domain:
            proto.opset_import.add(domain=domain, version=1)

    said = refused(changed(edit))
    assert operator in said
    assert "/tmp" not in said  # where the model was written for onnxruntime


@pytest.mark.parametrize("version", [99, 2**40, 0, -3])
def test_an_opset_that_does_not_exist(refused: Refused, changed, version: int) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        proto.opset_import[0].version = version

    refused(changed(edit))


def test_a_model_without_an_opset(refused: Refused, changed) -> None:
    refused(changed(lambda proto: proto.ClearField("opset_import")))


def test_an_input_that_is_no_tensor(refused: Refused, changed) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        kind = helper.make_sequence_type_proto(
            helper.make_tensor_type_proto(TensorProto.FLOAT, [1])
        )
        proto.graph.input[0].type.CopyFrom(kind)

    refused(changed(edit))


def test_an_attribute_of_another_kind(refused: Refused, changed) -> None:
    def edit(proto: onnx.ModelProto) -> None:
        (pads,) = (a for a in proto.graph.node[0].attribute if a.name == "pads")
        pads.CopyFrom(helper.make_attribute("pads", "many"))

    refused(changed(edit))
