import numpy as np
import onnx
import onnxruntime
import pytest

from qcore.adapters.onnx import calibrate, plan, quantize, sweep
from qcore.errors import QuantError

METHODS = ["mse", "minmax", "entropy"]


def silent(samples, _):
    return samples


@pytest.fixture
def statistics(net, samples):
    return calibrate(net, samples, progress=silent)


class Scores:
    """An evaluation that keeps the models it was given and answers from a list."""

    def __init__(self, *figures):
        self.figures, self.models = list(figures), []

    def __call__(self, model):
        self.models.append(model.SerializeToString())
        return self.figures[len(self.models) - 1]


def error(net, samples):
    """A function from a model to how far it is from the float one."""

    def run(model):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        return np.concatenate([session.run(None, feed)[0] for feed in samples])

    wanted = run(net)
    return lambda model: np.abs(run(model) - wanted).mean()


def test_candidates_are_sorted_and_the_best_model_is_given(net, statistics) -> None:
    scores = Scores(0.9, 0.2, 0.7, 0.5)
    found = sweep(net, statistics, METHODS, scores)
    expected = [("minmax", 0.7), ("entropy", 0.5), ("mse", 0.2)]
    assert [(trial.name, trial.figure) for trial in found.trials] == expected
    assert found.unquantized == 0.9
    best = quantize(net, statistics, method="minmax")
    assert found.best.SerializeToString() == best.SerializeToString()
    assert scores.models[0] == net.SerializeToString()


def test_a_smaller_number_may_be_better(net, statistics, samples) -> None:
    own = error(net, samples)
    found = sweep(net, statistics, METHODS, own, greater_is_better=False)
    assert found.unquantized == 0
    figures = [trial.figure for trial in found.trials]
    assert figures == sorted(own(quantize(net, statistics, method=m)) for m in METHODS)
    assert own(found.best) == figures[0]


def test_of_equal_candidates_the_earlier_wins(net, statistics) -> None:
    found = sweep(net, statistics, METHODS, Scores(1, 3, 3, 3))
    assert [trial.name for trial in found.trials] == METHODS


def test_candidates_may_be_options_of_quantize(net, statistics) -> None:
    candidates = [{"exclude": ["gemm"]}, {"method": "mse", "start_bin": 2}]
    found = sweep(net, statistics, candidates, Scores(0, 1, 2), symmetric=True)
    assert [trial.name for trial in found.trials] == [
        "method=mse, start_bin=2",
        "exclude=['gemm']",
    ]
    best = quantize(net, statistics, method="mse", start_bin=2, symmetric=True)
    assert found.best.SerializeToString() == best.SerializeToString()
    assert found.trials[1].options == {"exclude": ["gemm"]}


def test_equal_candidates_are_tried_once(net, statistics) -> None:
    found = sweep(net, statistics, ["mse", {"method": "mse"}], Scores(0, 1))
    assert [trial.name for trial in found.trials] == ["mse"]


def test_a_percentile_may_be_named(net, statistics) -> None:
    found = sweep(net, statistics, ["percentile:99.5"], Scores(0, 1))
    best = quantize(net, statistics, method="percentile", percentile=99.5)
    assert found.best.SerializeToString() == best.SerializeToString()
    assert found.trials[0].name == "percentile:99.5"


def test_data_is_gone_through_once_for_what_any_candidate_needs(net, samples) -> None:
    passes = []

    def stream():
        passes.append(1)
        yield from samples

    candidates = [{"exclude": ["conv*"]}, {"exclude": ["gemm"]}]
    found = sweep(net, stream(), candidates, Scores(0, 1, 2), progress=silent)
    assert passes == [1]
    own = calibrate(net, samples, exclude=["gemm"], progress=silent)
    best = quantize(net, own, exclude=["gemm"])
    assert found.best.SerializeToString() == best.SerializeToString()
    assert set(plan(net, exclude=["gemm"]).sources) <= set(own)


def test_a_model_may_lie_in_a_file(net, statistics, tmp_path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(net, path)
    assert sweep(path, statistics, ["mse"], Scores(0.5, 1)).unquantized == 0.5


def test_a_known_figure_of_the_float_model_is_not_computed_again(
    net, statistics
) -> None:
    scores = Scores(1)
    found = sweep(net, statistics, ["mse"], scores, unquantized=2)
    assert (found.unquantized, len(scores.models)) == (2, 1)


def test_the_text_is_a_table(net, statistics) -> None:
    found = sweep(net, statistics, ["mse", "percentile:99.9"], Scores(1, 0.5, 0.25))
    assert str(found).splitlines() == [
        "float            1",
        "mse              0.5",
        "percentile:99.9  0.25",
    ]


@pytest.mark.parametrize("answer", [None, np.nan, "0.5", [1, 2]])
def test_what_is_no_number_is_refused(net, statistics, answer) -> None:
    with pytest.raises(QuantError, match=r"must return a number; of the model 'float'"):
        sweep(net, statistics, METHODS, lambda _: answer)


def test_an_evaluation_that_fails_is_told_with_its_model(net, statistics) -> None:
    said = r"`evaluate` must score the model 'minmax'; it raises IndexError: list"
    with pytest.raises(QuantError, match=said):
        sweep(net, statistics, METHODS, Scores(0, 1))


def test_an_evaluation_is_tried_before_data_is_gone_through(net) -> None:
    def never():
        raise AssertionError
        yield

    with pytest.raises(QuantError, match="must return a number"):
        sweep(net, never(), METHODS, lambda _: None)


@pytest.mark.parametrize(
    ("candidates", "said"),
    [
        ([], "at least one; it has none"),
        (["mse", "means"], "'means' cannot be: .*must be a known name"),
        (["mse:3"], "percentile and a number such as"),
        (["percentile:most"], "percentile and a number such as"),
        ([{"method": "mse", "strides": 2}], "cannot be: .*no option 'strides'"),
        ([3], "a method or options of `quantize`; got int"),
    ],
)
def test_a_wrong_candidate_is_refused_before_any_is_tried(
    net, statistics, candidates, said
) -> None:
    scores = Scores()
    with pytest.raises(QuantError, match=said):
        sweep(net, statistics, candidates, scores)
    assert scores.models == []


def test_what_rounded_floats_need_is_collected(net, samples) -> None:
    candidate = {"activation": "int6", "fake": True}
    found = sweep(net, samples, [candidate], Scores(1, 1), progress=silent)
    alone = quantize(net, samples, recover="none", progress=silent, **candidate)
    assert found.best.SerializeToString() == alone.SerializeToString()
