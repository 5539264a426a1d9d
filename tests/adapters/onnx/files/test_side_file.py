"""Weights in a file beside the model."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter
from qcore.adapters.onnx.files.model_file import external_files


@pytest.fixture
def large(build, rng):
    """Return a model, some of whose weights are large enough to lie beside it."""
    w, v = (rng.normal(size=n).astype(np.float32) for n in ((64, 32), (32, 3)))
    body = "{ h = MatMul(x, w)  y = MatMul(h, v) }"
    return build("float[N, 64] x", "float[N, 3] y", body, w=w, v=v)


@pytest.fixture
def x(rng):
    return {"x": rng.normal(size=(2, 64)).astype(np.float32)}


def test_weights_beside_a_model_are_those_it_had(large, x, run, tmp_path: Path):
    path = tmp_path / "model.onnx"
    adapter.save(large, path, side_file=True)
    (side,) = external_files(path)
    assert (side.parent, side.name[:11]) == (tmp_path, "model.onnx.")
    assert set(tmp_path.iterdir()) == {path, side}
    assert side.stat().st_size >= 64 * 32 * 4 > path.stat().st_size
    session = onnxruntime.InferenceSession(path)
    np.testing.assert_array_equal(session.run(None, x)[0], run(large, x))
    np.testing.assert_array_equal(run(adapter.load(path), x), run(large, x))


def test_what_is_too_large_for_one_file_gets_two(large, x, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(onnx.checker, "MAXIMUM_PROTOBUF", 5000)
    path = tmp_path / "model.onnx"
    quantized = adapter.quantize(large, [x])
    adapter.save(large, path)
    assert len(external_files(path)) == 1
    adapter.save(quantized, path)
    assert external_files(path) == set()
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_that_is_written_again_leaves_no_weights_behind(large, tmp_path: Path):
    path = tmp_path / "model[1].onnx"
    for _ in range(2):
        adapter.save(large, path, side_file=True)
    assert set(tmp_path.iterdir()) == {path, *external_files(path)}


def test_a_failed_write_leaves_old_model_and_weights(
    large, tmp_path: Path, monkeypatch
):
    path = tmp_path / "model.onnx"
    adapter.save(large, path, side_file=True)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    replace = Path.replace

    def fail(self, target):
        if Path(target) == path:
            raise OSError
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError):  # noqa: PT011 - the one of the line above
        adapter.save(large, path, side_file=True)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_model_with_weights_beside_it_is_quantized(large, x, run, tmp_path: Path):
    path = tmp_path / "model.onnx"
    adapter.save(large, path, side_file=True)
    quantized = adapter.quantize(path, [x], exclude=["*_1"])
    assert quantized == adapter.quantize(adapter.load(path), [x], exclude=["*_1"])
    assert run(quantized, x).shape == (2, 3)


def test_a_folder_that_does_not_exist_is_named(large, tmp_path: Path):
    with pytest.raises(QuantError, match="nowhere"):
        adapter.save(large, tmp_path / "nowhere" / "m.onnx", side_file=True)
