from pathlib import Path

import onnx
import pytest

SCORES = {
    "by_size": "return len(model.SerializeToString())",
    "by_order": "CALLS.append(model); return len(CALLS)",
    "nothing": "return None",
    "not_a_number": "return float('nan')",
    "raises": "raise RuntimeError('no labels')",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch) -> str:
    """The name of a module of evaluations in the current folder."""
    name = f"scores_of_{tmp_path.name}".replace("-", "_")
    bodies = (f"def {f}(model):\n    {body}\n" for f, body in SCORES.items())
    text = "CALLS = []\nnot_callable = 3\n" + "".join(bodies)
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    return name


@pytest.fixture
def sweep(qcore, model: Path, data: Path, tmp_path: Path, own):
    """A function that quantizes with an evaluation and more options."""
    output = tmp_path / "best.onnx"

    def sweep(function: str, *options: object, module: str = own):
        named = function and f"{module}:{function}"
        evaluate = ("--evaluate", named) if named else ()
        return output, qcore(
            "quantize", model, "--data", data, "-o", output, *evaluate, *options
        )

    return sweep


def test_the_best_of_the_methods_is_written(
    qcore, sweep, model: Path, data: Path, tmp_path: Path
) -> None:
    methods = "mse,minmax,percentile:99.5"
    output, (code, out, err) = sweep("by_order", "--methods", methods)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.split("\n\n")[0].splitlines()]
    assert rows == [
        ["method", "score"],
        ["float", "1"],
        ["percentile:99.5", "4"],
        ["minmax", "3"],
        ["mse", "2"],
    ]
    assert "8 of 8 Conv, Gemm and MatMul compute in int8" in out
    alone = tmp_path / "alone.onnx"
    options = ("--method", "percentile", "--percentile", "99.5")
    qcore("quantize", model, "--data", data, "-o", alone, *options)
    assert output.read_bytes() == alone.read_bytes()


def test_the_lowest_score_may_be_the_best(sweep) -> None:
    _, (code, out, _) = sweep("by_order", "--methods", "mse,minmax", "--lowest")
    names = [line.split()[0] for line in out.split("\n\n")[0].splitlines()]
    assert (code, names) == (0, ["method", "float", "mse", "minmax"])


def test_without_names_the_usual_methods_are_tried(sweep) -> None:
    output, (_, out, _) = sweep("by_size")
    names = {line.split()[0] for line in out.split("\n\n")[0].splitlines()[2:]}
    assert names == {"mse", "entropy", "minmax", "percentile:99.9", "percentile:99.99"}
    assert onnx.load(output).graph.node


def test_quiet_says_nothing_of_the_methods(sweep) -> None:
    assert sweep("by_size", "--methods", "mse", "-q")[1] == (0, "", "")


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        ("nothing", [], "must return a number; of the model 'float' it returned None"),
        ("not_a_number", [], "of the model 'float' it returned nan"),
        ("raises", [], "it raises RuntimeError: no labels"),
        ("missing", [], "has no attribute 'missing'"),
        ("not_callable", [], "must score a model; it is no function"),
        ("by_size", ["--methods", "mse,means"], "the candidate 'means' cannot be"),
        (
            "by_size",
            ["--method", "entropy"],
            "with --methods rather than with --method",
        ),
        (
            "by_size",
            ["--method", "percentile", "--percentile", "99"],
            "rather than with --method and its options",
        ),
        ("", ["--methods", "mse"], "--methods and --lowest must come with --evaluate"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_sentence(
    sweep, function: str, options: list[str], said: str
) -> None:
    output, (code, out, err) = sweep(function, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not output.exists()


def test_a_module_that_is_not_there_is_named(sweep) -> None:
    _, (code, _, err) = sweep("f", module="no_such_module_at_all")
    assert code == 2
    assert "--evaluate no_such_module_at_all:f must score a model; it raises" in err
