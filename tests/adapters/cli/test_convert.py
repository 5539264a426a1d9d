import json
from pathlib import Path

import pytest

CACHE = "TRT-8601-EntropyCalibration2\nimage: 3c010a14\nconv/out: 3f800000\n"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "int8.cache"
    path.write_text(CACHE)
    return path


def test_a_record_is_converted(qcore, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.cache"
    code, out, err = qcore("convert", cache, target)
    assert (code, err) == (0, "")
    assert (
        out
        == f"{target}: 2 tensors, a calibration cache of TensorRT; {len(CACHE)} B.\n"
    )
    assert target.read_text() == CACHE


def test_some_tensors_are_converted(qcore, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.cache"
    assert qcore("convert", cache, target, "--tensors", "conv/*").code == 0
    assert target.read_text().splitlines()[1:] == ["conv/out: 3f800000"]


def test_a_pattern_that_matches_nothing_is_refused(qcore, cache, tmp_path) -> None:
    code, _, err = qcore("convert", cache, tmp_path / "b.cache", "--tensors", "x*")
    assert code == 2
    assert "--tensors 'x*' must match a tensor of" in err


def test_the_summary_is_json_on_demand(qcore, cache: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.cache"
    assert json.loads(qcore("convert", cache, target, "--json").out) == {
        "source": str(cache),
        "from": "tensorrt",
        "target": str(target),
        "to": "tensorrt",
        "tensors": ["image", "conv/out"],
        "bytes": len(CACHE),
    }


def test_nothing_is_said_if_quiet(qcore, cache: Path, tmp_path: Path) -> None:
    assert qcore("convert", cache, tmp_path / "b.cache", "-q") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing", "b.cache"), "missing must be a record; there is no such file"),
        ((".", "b.cache"), "must be a file; '.' is a folder"),
        (("int8.cache", "b.txt"), "must tell what record to write, by one of .cache"),
        (("int8.cache", "int8.cache"), "TARGET would replace its own source"),
        (("int8.cache", "no/b.cache"), "`TARGET` must lie in an existing folder"),
        (("int8.cache", "."), "`TARGET` must be a file; '.' is a folder"),
        (("int8.cache", "b", "--to", "tensort"), "did you mean 'tensorrt'?"),
        (("int8.cache", "b.cache", "--from", "x"), "no record is of the kind 'x'"),
        (("broken.cache", "b.cache"), "line 2 must be a name and a float32"),
        (("random", "b.cache"), "random must be a record of a known kind"),
    ],
)
def test_what_cannot_be_converted_is_answered_in_one_line(
    qcore, cache: Path, tmp_path: Path, monkeypatch, arguments, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.cache").write_text("TRT-8601-EntropyCalibration2\nimage\n")
    Path("random").write_bytes(bytes(range(256)))
    code, out, err = qcore("convert", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert cache.read_text() == CACHE
    assert not Path("b.cache").exists()
