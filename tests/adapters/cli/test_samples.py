"""What becomes of samples, and how many are used, as it is typed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qcore as core

STATISTICS = "stats.safetensors"
MEAN, STD = "mean=0.485,0.456,0.406", "std=0.229,0.224,0.225"


def save(graph: onnx.GraphProto, path: Path) -> None:
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opsets), path)


@pytest.fixture
def calibrate(qcore, tmp_path: Path) -> Callable[..., str]:
    """A function that calibrates, which must succeed, and gives what it says last."""

    def run(model: Path, *options: object) -> str:
        output = tmp_path / STATISTICS
        code, out, err = qcore("calibrate", model, *options, "-o", output)
        assert (code, err) == (0, "")
        return out.splitlines()[-1]

    return run


@pytest.fixture
def refused(qcore, model: Path, tmp_path: Path) -> Callable[..., str]:
    def run(*options: object) -> str:
        output = tmp_path / "out.onnx"
        code, out, err = qcore("quantize", model, *options, "-o", output)
        assert (code, out, err.count("\n"), output.exists()) == (2, "", 1, False)
        return err

    return run


@pytest.fixture
def vision(tmp_path: Path) -> Path:
    """A model of pictures, whose input is all that is calibrated."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 4, 1])
    weight = numpy_helper.from_array(np.ones((4, 1), np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [x], [y], [weight])
    path = tmp_path / "vision.onnx"
    save(graph, path)
    return path


def test_few_samples_are_told(calibrate, model: Path, data: Path) -> None:
    assert calibrate(model, "--data", data) == (
        "Calibrated on 8 samples; 100 to 500 make ranges that hold for others, too."
    )


@pytest.mark.parametrize(
    ("held", "options", "used"),
    [
        (120, [], "Calibrated on 120 samples."),
        (501, [], "Calibrated on 500 samples, the most that --samples allows."),
        (501, ["--samples", "all"], "Calibrated on 501 samples."),
        (120, ["--samples", "101"], "Calibrated on 101 samples, the most that --"),
    ],
)
def test_no_more_samples_are_used_than_are_asked_for(
    calibrate, vision: Path, npz, tmp_path: Path, held: int, options, used: str
) -> None:
    images = np.zeros((held, 3, 4, 4), np.float32)
    said = calibrate(vision, "--data", npz(x=images), *options)
    assert said.startswith(used)
    zeros = core.load(tmp_path / STATISTICS)["x"].zeros
    assert f" {zeros.sum() // 48} " in used


def test_a_reader_without_end_is_read_as_far_as_asked(
    calibrate, vision: Path, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "endless.py").write_text(
        "import itertools, numpy\n"
        "def give():\n"
        "    yield from itertools.repeat(numpy.ones((1, 3, 4, 4), numpy.float32))\n"
    )
    monkeypatch.chdir(tmp_path)
    said = calibrate(vision, "--reader", "endless:give", "--samples", 100)
    assert said == "Calibrated on 100 samples, the most that --samples allows."


def test_pictures_are_prepared_as_is_typed(
    calibrate, vision: Path, tmp_path: Path
) -> None:
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    image.fromarray(pixels).save(folder / "a.png")
    options = ("--preprocess", f"size=4,crop=4,{MEAN},{STD},layout=NCHW")
    said = calibrate(vision, "--data", folder, *options)
    assert said.startswith("Calibrated on 1 picture; ")
    seen = core.load(tmp_path / STATISTICS)["x"]
    scaled = pixels[:, 1:5] / 255
    mean, std = (np.float64(t.partition("=")[2].split(",")) for t in (MEAN, STD))
    expected = (scaled - mean) / std
    np.testing.assert_allclose(seen.max, expected.max(), rtol=1e-5)
    np.testing.assert_allclose(seen.min, expected.min(), rtol=1e-5)


def test_texts_are_cut_into_tokens(calibrate, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = {"[UNK]": 0, "a": 1, "b": 2}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "texts.txt").write_text("a b a\nb\n\nc a\n")
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["n", "t"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "t", 1])
    constants = {"table": np.float32([[5], [-1], [3]]), "w": np.float32([[1]])}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    tensors = [numpy_helper.from_array(x, name) for name, x in constants.items()]
    graph = helper.make_graph(nodes, "g", [ids], [y], tensors)
    save(graph, tmp_path / "text.onnx")
    options = ("--data", tmp_path / "texts.txt", "--tokenizer")
    options = (*options, tmp_path / "tokenizer.json", "--max-length", 2)
    said = calibrate(tmp_path / "text.onnx", *options)
    assert said.startswith("Calibrated on 3 texts; ")
    seen = core.load(tmp_path / STATISTICS)["h"]
    assert (seen.min, seen.max) == (-1, 5)  # of the tokens a b, b, [UNK] a


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("size", "must be KEY=VALUE,...; got 'size'"),
        ("sice=256", "has no 'sice'; known are size, crop, mean, std, white, colors"),
        ("size=256,size=224", "must have 'size' once"),
        ("size=big", "size must be N or HEIGHTxWIDTH; got 'big'"),
        ("size=1,2", "size must be N or HEIGHTxWIDTH; got '1,2'"),
        ("mean=1,two,3", "mean must be numbers; got '1,two,3'"),
        ("layout=NCHW,NHWC", "layout must be one word; got 'NCHW,NHWC'"),
        ("size=224,crop=256", "`crop` must be at most `size`; got 256 and 224"),
        ("size=8x9,mean=1,2", "`mean` must have a number for each of the 3 channels"),
        ("layout=HCW", "`layout` must be NCHW or"),
    ],
)
def test_a_way_to_prepare_that_makes_no_sense_is_refused(
    refused, tmp_path: Path, text: str, said: str
) -> None:
    assert said in refused("--data", tmp_path, "--preprocess", text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--reader", "m:f", "--preprocess", "size=8"], "--preprocess must come with"),
        (["--reader", "m:f", "--tokenizer", "t"], "--tokenizer must come with --data"),
        (
            ["--data", "d", "--preprocess", "size=8", "--tokenizer", "t"],
            "--preprocess and --tokenizer do not go together",
        ),
        (["--data", "d", "--max-length", "8"], "--max-length must come with --token"),
        (["--data", "d.txt"], "--data d.txt must come with --tokenizer"),
        (
            ["--data", "d", "--samples", "0"],
            "must be a whole number of at least 1; got '0'",
        ),
        (
            ["--data", "d", "--samples", "some"],
            "must be a whole number of at least 1; got 'some'",
        ),
        (["--data", "d", "--max-length", "-1"], "--max-length"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(refused, options, said) -> None:
    assert said in refused(*options)


def test_a_folder_of_pictures_asks_how_to_prepare_them(refused, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"")
    assert "pictures are read with --preprocess" in refused("--data", folder)


def test_a_damaged_picture_is_named(refused, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"\x89PNG")
    said = refused("--data", folder, "--preprocess", "size=8,colors=L")
    assert "a.png' cannot be read as a picture" in said
