"""A file of arguments says what typed ones say, and is told off by line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import qcore as core
from qcore.adapters.cli.parser import parse

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "qcore.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("command", "text", "typed"),
    [
        (
            "quantize",
            "model: m\ndata: d\noutput: o\nmethod: percentile\npercentile: 99.90\n"
            "symmetric: true\nexclude: [a, 'b*']\nop-types: [Conv, Gemm]\n"
            "option:\n  num_bins: 7\n  stride: 2\nsmooth: true\nrecover: bias\n"
            "preprocess:\n  size: 256\n  mean: [1, 2, 3]\nsamples: all\nquiet: true\n",
            "m --data d -o o --method percentile --percentile 99.90 --symmetric "
            "--exclude a --exclude b* --op-types Conv,Gemm --option num_bins=7 "
            "--option stride=2 --smooth --recover bias "
            "--preprocess size=256,mean=1,2,3 --samples all -q",
        ),
        (
            "quantize",
            "smooth: 0.5\npercentile: [0.1, 99.9]\noverride: ['a:b:range=0,1']\n"
            "symmetric: false\nbudget: 9\n",
            "--smooth 0.5 --percentile 0.1,99.9 --override a:b:range=0,1 --budget 9",
        ),
        (
            "calibrate",
            "model: m\nreader: a:b\noutput: o\nbins: 300\nshard: 2/3\nverbose: true\n",
            "m --reader a:b -o o --bins 300 --shard 2/3 -v",
        ),
        (
            "compare",
            "float: f\nquantized: [a, b]\ndata: d\nlimit: 0\njson: true\n",
            "f a b --data d --limit 0 --json",
        ),
        (
            "inspect",
            "file: f\nmethod: mse\nactivation: int8\n",
            "f --method mse --activation int8",
        ),
    ],
)
def test_a_file_says_what_typed_arguments_say(
    write: Write, command: str, text: str, typed: str
) -> None:
    given = ["m"] if command == "quantize" and "model" not in text else []
    from_file = vars(parse([command, *given, "--config", str(write(text))]))
    expected = vars(parse([command, *given, *typed.split()]))
    del from_file["config"], expected["config"]
    assert from_file == expected


def test_typed_arguments_go_before_those_in_the_file(write: Write) -> None:
    path = write("model: m\ndata: d\noutput: o\nbins: 300\n")
    found = parse(["calibrate", "n", f"--config={path}", "--reader", "a:b", "-o", "p"])
    told = str(found.model), found.data, found.reader, str(found.output), found.bins
    assert told == ("n", None, "a:b", "p", 300)


def test_a_command_has_its_own_below_its_name(write: Write) -> None:
    path = write("bins: 300\ncalibrate:\n  bins: 400\nquantize:\n  weight: int4\n")
    for command, bins in (("calibrate", 400), ("quantize", 300)):
        found = parse([command, "m", "--data", "d", "-o", "o", "--config", str(path)])
        assert found.bins == bins
    assert found.weight == "int4"


def test_a_command_runs_on_a_file_alone(qcore, model, data, tmp_path, write) -> None:
    output = tmp_path / "out"
    path = write(
        f"model: {model}\ndata: {data}\noutput: {output}\nbins: 300\njson: yes"
    )
    code, _, err = qcore("calibrate", "--config", path)
    assert "line 5, 'json: yes': it must be true or false." in err
    path.write_text(path.read_text().replace("yes", "true"))
    code, out, err = qcore("calibrate", "--config", path)
    assert (code, err, json.loads(out)["tensors"]) == (0, "", 10)
    assert core.load(output)["image"].bins == 300


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "bns: 9",
            "line 1, 'bns: 9': there is no argument 'bns'; did you mean 'bins'?",
        ),
        ("\nbins: 1", "line 2, 'bins: 1': must be a whole number of at least 2; got"),
        ("bins: true", "line 1, 'bins: true': must be a whole number of at least 2"),
        ("bins:", "line 1, 'bins:': it must have a value."),
        ("recover: all", "line 1, 'recover: all': invalid choice: 'all'"),
        ("symmetric: 1", "line 1, 'symmetric: 1': it must be true or false."),
        (
            "bins: 9\nbins: 9",
            "line 2, 'bins: 9': 'bins' must be given once; got twice.",
        ),
        ("data: d\nreader: a:b", "line 2, 'reader: a:b': it does not go together with"),
        ("- bins", "line 1, '- bins': it must be a list of `argument: value`"),
        ("exclude: [[a]]", "line 1, 'exclude: [[a]]': it must be text or a number"),
        ("option: {a: {b: {c: d}}}", "line 1, 'option: {a: {b: {c: d}}}': it must be"),
        (
            "quantize: 3",
            "line 1, 'quantize: 3': arguments of this command must be below",
        ),
        ("inspect:\n  bins: 9", "line 2, 'bins: 9': there is no argument 'bins'; "),
        ("config: a", "line 1, 'config: a': there is no argument 'config'"),
        ("bins: [", "line 1: it must be YAML; "),
        ("a: &a [*a]", "line 1, 'a: &a [*a]': it must be text"),
        ("? [a]\n: b", "line 1, '? [a]': it must be text"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    qcore, write, text: str, said: str
) -> None:
    path = write(text)
    code, out, err = qcore("quantize", "m", "--config", path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"qcore quantize: {path}, {said}")


def test_a_file_that_is_not_there_or_no_text_is_told(qcore, tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert f"{path}: No such file" in qcore("inspect", "f", "--config", path).err
    path.write_bytes(b"\xff")
    assert "must be text in UTF-8" in qcore("inspect", "f", "--config", path).err
    assert "expected one argument" in qcore("inspect", "f", "--config").err


def test_an_empty_file_says_nothing(write: Write) -> None:
    assert str(parse(["inspect", "f", "--config", str(write("# none\n"))]).file) == "f"
