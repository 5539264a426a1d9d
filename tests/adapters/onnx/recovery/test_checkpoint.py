"""Recovery that was stopped goes on, and the same is always the same."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter
from qcore.adapters.onnx.recovery import recover
from qcore.adapters.onnx.recovery.change import Change
from qcore.adapters.onnx.recovery.checkpoint import Checkpoint, remove_checkpoint
from tests.adapters.onnx.recovery import stopped_run

LAYERS = 3


@pytest.fixture
def run_apart(net, samples, tmp_path):
    """A function that quantizes in a process of its own, whose sets lie otherwise."""
    model, data = tmp_path / "net.onnx", tmp_path / "data.npz"
    onnx.save(net, model)
    np.savez(data, x=np.concatenate([sample["x"] for sample in samples]))

    def run(out: Path, folder: Path | str = "", last: int = LAYERS + 1) -> int:
        script = [sys.executable, "-P", stopped_run.__file__]
        arguments = [*map(str, (model, data, out, folder, last))]
        env = os.environ | {"PYTHONHASHSEED": "7"}
        return subprocess.run([*script, *arguments], check=False, env=env).returncode

    return run


@pytest.fixture
def begun(monkeypatch):
    """The layers whose inputs are looked at."""
    layers = []
    gram_of_inputs = recover.gram_of_inputs

    def noted(layer, *arguments):
        layers.append(layer.name)
        return gram_of_inputs(layer, *arguments)

    monkeypatch.setattr(recover, "gram_of_inputs", noted)
    return layers


def as_bytes(model):
    return model.SerializeToString()


def test_two_processes_give_the_same_bytes(net, samples, run_apart, tmp_path):
    assert run_apart(tmp_path / "out.onnx") == 0
    found = as_bytes(adapter.quantize(net, samples))
    assert (tmp_path / "out.onnx").read_bytes() == found


def test_merged_statistics_of_shards_give_the_bytes_of_one_run(net, samples):
    one, other = (adapter.calibrate(net, part) for part in (samples[:5], samples[5:]))
    merged = {name: one[name].merge(other[name]) for name in one}
    found = adapter.quantize(net, merged, data=samples)
    assert as_bytes(found) == as_bytes(adapter.quantize(net, samples))


def test_a_killed_run_goes_on_where_it_was(net, samples, run_apart, tmp_path, begun):
    folder = tmp_path / "done"
    assert run_apart(tmp_path / "out.onnx", folder, last=LAYERS) != 0
    assert not (tmp_path / "out.onnx").exists()
    assert len(list(folder.iterdir())) == LAYERS - 1
    found = adapter.quantize(net, samples, checkpoint=folder)
    assert begun == ["gemm"]
    assert as_bytes(found) == as_bytes(adapter.quantize(net, samples))


@pytest.mark.parametrize("level", ["bias", "gptq"])
@pytest.mark.parametrize("weight", ["int4", "float8_e4m3fn"])
def test_a_whole_checkpoint_gives_the_same_again(
    build, rng, tmp_path, begun, level, weight
):
    weights = {n: rng.normal(size=(8, 8)).astype(np.float32) for n in "vw"}
    ends = "float[N, 8] x", "float[N, 8] y"
    body = "{ a = MatMul(x, v)  b = Relu(a)  y = MatMul(b, w) }"
    model = build(*ends, body, **weights)
    data = [{"x": rng.normal(size=(9, 8)).astype(np.float32)} for _ in range(4)]
    how = {"activation": "float", "weight": weight, "recover": level}
    first, again = (
        adapter.quantize(model, data, checkpoint=tmp_path / "done", **how)
        for _ in range(2)
    )
    assert len(begun) == 2
    assert as_bytes(first) == as_bytes(again)
    assert as_bytes(first) == as_bytes(adapter.quantize(model, data, **how))


@pytest.mark.parametrize(
    ("weight", "data", "options"),
    [(1, 0, {}), (0, 1, {}), (0, 0, {"recover": "bias"}), (0, 0, {"method": "minmax"})],
    ids=["weight", "data", "level", "method"],
)
def test_that_of_something_else_is_refused(
    net, samples, tmp_path, weight, data, options
):
    adapter.quantize(net, samples, checkpoint=tmp_path / "done")
    if weight:
        (last,) = (t for t in net.graph.initializer if t.name == "b3")
        last.CopyFrom(onnx.numpy_helper.from_array(np.ones(5, np.float32), "b3"))
    with pytest.raises(
        QuantError, match=r"^`checkpoint` must be that of the same model"
    ):
        adapter.quantize(net, samples[data:], checkpoint=tmp_path / "done", **options)


def test_a_damaged_one_is_refused(net, samples, tmp_path):
    adapter.quantize(net, samples, checkpoint=tmp_path)
    (tmp_path / "layer-00001.safetensors").write_bytes(b"no")
    with pytest.raises(QuantError, match=r"layer-00001.* must be a file of a che"):
        adapter.quantize(net, samples, checkpoint=tmp_path)


def test_where_none_can_be_is_refused_before_data_is_read(net, tmp_path):
    def unread():
        raise AssertionError
        yield

    (tmp_path / "file").write_bytes(b"")
    for given, error, said in (
        (tmp_path / "file", QuantError, "must be a folder"),
        (tmp_path / "none" / "folder", FileNotFoundError, "in an existing folder"),
        (3, TypeError, "must be a path; got int"),
    ):
        with pytest.raises(error, match=said):
            adapter.quantize(net, unread(), checkpoint=given)
    with pytest.raises(QuantError, match="nothing is recovered"):
        adapter.quantize(net, unread(), checkpoint=tmp_path, recover="none")


def test_removing_one_leaves_what_else_is_in_the_folder(tmp_path):
    folder = tmp_path / "done"
    Checkpoint(folder, "").put(0, Change(None, np.zeros(3)))
    cut_short = folder / ".layer-00001.safetensors.x1.part"
    for path in (folder / "other", cut_short):
        path.write_bytes(b"")
    remove_checkpoint(folder)
    assert [path.name for path in folder.iterdir()] == ["other"]
    (folder / "other").unlink()
    remove_checkpoint(folder)
    assert not folder.exists()
