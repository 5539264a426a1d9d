from pathlib import Path

import numpy as np
import onnx
import pytest

from qcore import QuantError
from qcore.adapters.onnx import load
from qcore.adapters.onnx.files.model_file import to_ir


@pytest.fixture
def outside(net, tmp_path: Path) -> Path:
    """A model in a folder of its own, whose weights are in a file beside it."""
    path = tmp_path / "folder" / "net.onnx"
    path.parent.mkdir()
    onnx.save(net, path, save_as_external_data=True, location="w", size_threshold=0)
    return path


def edited(path: Path, **entries: str | None) -> Path:
    """Change what the model says of where its first weights are."""
    model = onnx.load(path, load_external_data=False)
    (tensor, *_) = model.graph.initializer
    kept = {e.key: e.value for e in tensor.external_data} | entries
    del tensor.external_data[:]
    for key, value in kept.items():
        if value is not None:
            tensor.external_data.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())
    return path


def refused(path: Path, message: str) -> None:
    for read in (to_ir, load):
        with pytest.raises(QuantError, match=message):
            read(path)


@pytest.mark.parametrize("location", ["../w", "./../w", "sub/../../w", "/etc/hostname"])
def test_a_file_outside_of_the_folder_is_refused(outside, location):
    (outside.parent.parent / "w").write_bytes((outside.parent / "w").read_bytes())
    (outside.parent / "sub").mkdir()
    refused(edited(outside, location=location), "must lie in the folder of the model")


def test_a_link_that_leads_out_of_the_folder_is_refused(outside):
    secret = outside.parent.parent / "secret"
    (outside.parent / "w").rename(secret)
    (outside.parent / "w").symlink_to(secret)
    refused(outside, r"'w1' must lie in the folder of the model; got 'w', which is out")


def test_links_from_the_cache_of_a_hub_are_followed(outside):
    blobs = outside.parent.parent / "blobs"
    blobs.mkdir()
    for file in (outside, outside.parent / "w"):
        file.rename(blobs / file.name)
        file.symlink_to(blobs / file.name)
    with_path = to_ir(outside).graph.initializers["w1"].const_value
    assert with_path.shape == (8, 3, 3, 3)


def test_a_file_in_a_folder_below_is_read(outside):
    (outside.parent / "sub").mkdir()
    (outside.parent / "w").rename(outside.parent / "sub" / "w")
    model = onnx.load(outside, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "sub/w"
    outside.write_bytes(model.SerializeToString())
    weight = to_ir(outside).graph.initializers["w1"].const_value
    assert np.isfinite(weight.numpy()).all()


def test_a_file_that_is_not_there_is_named(outside):
    (outside.parent / "w").unlink()
    refused(outside, "'w1' lie in .*w', which is no file")


@pytest.mark.parametrize("location", ["", None, "a\0b"])
def test_a_file_without_a_name_is_refused(outside, location):
    refused(edited(outside, location=location), "'w1' names no file")


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "4000"},
        {"offset": "-8"},
        {"offset": "some"},
        {"length": "12"},
        {"length": str(2**60)},
    ],
)
def test_a_file_too_short_for_what_it_shall_hold_is_refused(outside, entries):
    refused(edited(outside, **entries), r"'w1' must be 864 bytes for its shape \[8, 3")


def test_a_file_that_was_cut_off_is_refused(outside):
    weights = outside.parent / "w"
    weights.write_bytes(weights.read_bytes()[:100])
    refused(outside, "of a file of 100")


def test_a_model_in_memory_must_hold_its_weights(outside):
    model = onnx.load(outside, load_external_data=False)
    with pytest.raises(
        QuantError, match="must hold its weights, or be a path; 'w1' is"
    ):
        to_ir(model)
