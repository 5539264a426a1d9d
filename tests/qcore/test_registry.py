"""The table of methods: how they are found, called and added."""

import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qcore import (
    Histogram,
    MovingRange,
    QuantSpec,
    Range,
    StatisticsError,
    UnknownMethodError,
    calibrate,
    compute_range,
    methods,
    register_method,
)
from qcore.methods import registry

X = np.asarray([-4, 1, 2], np.float32)
SPEC = QuantSpec("int8")


@pytest.fixture
def _own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget, after the test, what it has registered."""
    for table in ("_methods", "_aliases"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))


def half(
    statistics: Any,
    spec: QuantSpec,  # noqa: ARG001 - of no matter here
    /,
    *,
    xp: Any,  # noqa: ARG001
    part: float = 0.5,
) -> Any:
    return statistics.min * part, statistics.max * part


def test_methods_are_sorted_names_without_aliases() -> None:
    known = "entropy", "isotone", "minmax", "moving_average", "mse", "percentile"
    assert methods() == tuple(sorted(methods()))
    assert set(known) <= set(methods())
    assert not {"kl", "max"} & set(methods())


def test_every_file_that_decorates_a_method_is_registered() -> None:
    folder = Path(inspect.getfile(registry)).parent
    files = {
        path.stem
        for path in folder.glob("*.py")
        if re.search(r"^@register_method", path.read_text(), re.MULTILINE)
    }
    functions = [registry.find_method(name).function for name in methods()]
    assert files <= {f.__module__.rpartition(".")[2] for f in functions}


@pytest.mark.parametrize(("alias", "name"), [("kl", "entropy"), ("max", "minmax")])
def test_an_alias_is_the_method(alias: str, name: str) -> None:
    seen = Histogram.of(X)
    assert compute_range(seen, SPEC, alias) == compute_range(seen, SPEC, name)


def test_the_case_of_a_name_does_not_matter() -> None:
    seen = Histogram.of(X)
    assert compute_range(seen, SPEC, "KL") == compute_range(seen, SPEC, "entropy")


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("mes", "mse"), ("entorpy", "entropy"), ("min_max", "minmax"), ("kll", "kl")],
)
def test_a_misspelt_name_is_answered_with_the_nearest(wrong: str, nearest: str) -> None:
    with pytest.raises(
        UnknownMethodError, match=f"'{wrong}': did you mean '{nearest}'"
    ):
        calibrate(Histogram.of(X), SPEC, wrong)


def test_a_name_like_no_other_is_answered_with_all() -> None:
    with pytest.raises(
        UnknownMethodError, match=r"known are .*isotone, kl, max, .*mse"
    ):
        calibrate(Histogram.of(X), SPEC, "zzz")


def test_an_unknown_method_is_a_value_error_and_a_type_error() -> None:
    assert issubclass(UnknownMethodError, ValueError)
    assert issubclass(UnknownMethodError, TypeError)


def test_a_method_is_called_by_name_alone() -> None:
    with pytest.raises(TypeError, match="`method` must be a name; got function"):
        calibrate(Histogram.of(X), SPEC, half)  # type: ignore[arg-type]


def test_a_misspelt_option_is_answered_with_the_nearest() -> None:
    with pytest.raises(TypeError, match=r"'percentil': did you mean 'percentile'\?"):
        calibrate(Histogram.of(X), SPEC, "percentile", percentil=99)


def test_a_method_without_options_says_so() -> None:
    with pytest.raises(TypeError, match="'minmax' has no option 'stride': it has none"):
        calibrate(Histogram.of(X), SPEC, "minmax", stride=1)


@pytest.mark.parametrize(
    ("statistics", "method", "right"),
    [
        (Range, "mse", "Histogram"),
        (Range, "kl", "Histogram"),
        (MovingRange, "minmax", "Range or Histogram"),
        (Histogram, "moving_average", "MovingRange"),
    ],
)
def test_wrong_statistics_are_answered_with_the_right_ones(
    statistics: Any, method: str, right: str
) -> None:
    message = f"needs {right}; got {statistics.__name__}"
    with pytest.raises(StatisticsError, match=message) as caught:
        calibrate(statistics.of(X), SPEC, method)
    assert isinstance(caught.value, TypeError)


@pytest.mark.usefixtures("_own_table")
class TestANewMethod:
    def test_works_through_calibrate(self) -> None:
        register_method("half", needs=(Range,))(half)
        assert float(calibrate(Range.of(X), SPEC, "half").scale) == np.float32(2 / 127)
        assert "half" in methods()

    def test_takes_its_own_options(self) -> None:
        register_method("half", needs=(Range,))(half)
        assert compute_range(Range.of(X), SPEC, "half", part=0.25) == ([-1], [0.5])

    def test_stays_the_function_it_was(self) -> None:
        assert register_method("half", needs=(Range,))(half) is half

    def test_is_found_in_any_case(self) -> None:
        register_method("Half", needs=(Range,))(half)
        assert compute_range(Range.of(X), SPEC, "hALF") == ([-2], [1])

    @pytest.mark.parametrize("taken", ["mse", "kl", "MSE"])
    def test_may_not_take_a_name(self, taken: str) -> None:
        with pytest.raises(
            ValueError, match=f"{taken.lower()!r} is registered already"
        ):
            register_method("half", taken, needs=(Range,))

    @pytest.mark.parametrize("name", ["minmax", "max"])
    def test_may_replace_a_method_or_alias_if_told_so(self, name: str) -> None:
        register_method(name, needs=(Range,), overwrite=True)(half)
        assert compute_range(Range.of(X), SPEC, name) == ([-2], [1])

    def test_removes_a_method_with_its_aliases(self) -> None:
        register_method("minmax", needs=(Range,), overwrite=True)(half)
        with pytest.raises(UnknownMethodError, match="'max'"):
            compute_range(Range.of(X), SPEC, "max")

    def test_may_have_the_name_of_another_for_an_alias(self) -> None:
        register_method("half", "minmax", needs=(Range,), overwrite=True)(half)
        assert compute_range(Range.of(X), SPEC, "minmax") == ([-2], [1])
        assert "minmax" not in methods()
        with pytest.raises(UnknownMethodError, match="'max'"):
            compute_range(Range.of(X), SPEC, "max")

    def test_takes_but_the_alias_of_another(self) -> None:
        register_method("max", needs=(Range,), overwrite=True)(half)
        assert compute_range(Range.of(X), SPEC, "minmax") == ([-4], [4])
