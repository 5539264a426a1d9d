from pathlib import Path

import numpy as np
import onnx
import pytest

from qcore import QuantError
from qcore.adapters.onnx import load, save
from qcore.adapters.onnx.files.model_file import external_files, to_ir


def test_what_was_saved_is_loaded(net, tmp_path: Path):
    save(net, tmp_path / "net.onnx")
    assert load(tmp_path / "net.onnx") == net
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_a_failed_write_leaves_the_old_file_alone(net, tmp_path: Path, monkeypatch):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):  # noqa: PT011 - the one of the line above
        save(net, path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_folder_that_does_not_exist_is_named(net, tmp_path: Path):
    with pytest.raises(QuantError, match=r"existing folder; got .*nowhere"):
        save(net, tmp_path / "nowhere" / "net.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "there is no file"), (b"not a model", "cannot be read"), (b"", "no nodes")],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content, message):
    path = tmp_path / "some.onnx"
    if content is not None:
        path.write_bytes(content)
    for read in (load, to_ir):
        with pytest.raises(QuantError, match=f"{message}|{message}"):
            read(path)


def test_files_of_weights_are_found(net, tmp_path: Path):
    path = tmp_path / "net.onnx"
    onnx.save(net, path, save_as_external_data=True, location="w", size_threshold=0)
    assert external_files(path) == {tmp_path / "w"}


def test_files_of_constants_are_found(build, tmp_path: Path):
    net = build(
        "float[N] x", "float[N] y", "{ c = Constant<value_float=1.0>() y = Add(x, c) }"
    )
    value = onnx.numpy_helper.from_array(np.ones(1, np.float32))
    net.graph.node[0].attribute[0].CopyFrom(onnx.helper.make_attribute("value", value))
    path = tmp_path / "net.onnx"
    options = {"size_threshold": 0, "convert_attribute": True}
    onnx.save(net, path, save_as_external_data=True, location="w", **options)
    assert external_files(path) == {tmp_path / "w"}


def test_a_model_in_one_file_has_no_files_of_weights(net, tmp_path: Path):
    onnx.save(net, tmp_path / "net.onnx")
    assert external_files(tmp_path / "net.onnx") == set()


def test_weights_in_another_file_are_read_from_the_folder_of_the_model(
    net, tmp_path: Path
):
    path = tmp_path / "net.onnx"
    expected = onnx.numpy_helper.to_array(net.graph.initializer[0])
    onnx.save(net, path, save_as_external_data=True, location="w", size_threshold=0)
    weight = to_ir(path).graph.initializers["w1"].const_value
    np.testing.assert_array_equal(weight.numpy(), expected)
