"""The best of several methods, and the table it is chosen from."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qcore import (
    Histogram,
    PerChannel,
    QuantSpec,
    calibrate,
    compare_methods,
    compute_range,
    expected_error,
)

NAMES = ("minmax", "percentile", "entropy", "mse")
SPECS = {
    "int8": QuantSpec("int8"),
    "uint4-asymmetric": QuantSpec("uint4", symmetric=False),
    "float4": QuantSpec("float4_e2m1fn"),
}
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
HOW: dict[str, dict[str, Any]] = {
    "mse": {},
    "lp": {"metric": "lp", "p": 1},
    "clipping": {"metric": "sqnr", "clipping_weight": 30},
}


def rows() -> np.ndarray:
    rng = np.random.default_rng(3)
    shapes = [rng.normal, rng.laplace, rng.uniform]
    return np.stack([draw(size=800) for draw in shapes]).astype(np.float32)


def state() -> Histogram:
    return Histogram.of(rows(), bins=128, granularity=PerChannel(0))


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
@each_spec
def test_each_entry_has_the_range_of_its_best_method(
    spec: QuantSpec, how: dict[str, Any]
) -> None:
    h = state()
    lo, hi = compute_range(h, spec, "auto", methods=NAMES, **how)
    qparams = [calibrate(h, spec, name) for name in NAMES]
    errors = np.stack([expected_error(h, q, **how) for q in qparams])
    best = (errors.max if how.get("metric") == "sqnr" else errors.min)(axis=0)
    for channel in range(3):
        as_good = np.isclose(errors[:, channel], best[channel], rtol=1e-9)
        ranges = [
            compute_range(h, spec, name)
            for name, good in zip(NAMES, as_good, strict=True)
            if good
        ]
        widths = [float(high[channel] - low[channel]) for low, high in ranges]
        assert float(hi[channel] - lo[channel]) == max(widths)


def test_a_norm_chooses_otherwise_than_another() -> None:
    h = Histogram.of(np.append(rows()[1], np.float32(60)))
    tried = ["minmax", ("percentile", {"percentile": 99.0})]
    ends = [
        compute_range(h, SPECS["int8"], "auto", methods=tried, metric="lp", p=p)[1][0]
        for p in (0.5, 8)
    ]
    assert ends[0] < ends[1]


def test_mix_is_another_name_of_it() -> None:
    assert compute_range(state(), SPECS["int8"], "mix")[1].tolist() == (
        compute_range(state(), SPECS["int8"], "auto")[1].tolist()
    )


def test_a_candidate_may_have_options() -> None:
    h, shares = state(), (99, 99.9)
    found = compute_range(
        h,
        SPECS["int8"],
        "auto",
        methods=[("percentile", {"percentile": share}) for share in shares],
    )
    ends = [compute_range(h, SPECS["int8"], "percentile", percentile=s) for s in shares]
    assert all(hi in {float(e[1][c]) for e in ends} for c, hi in enumerate(found[1]))


def test_the_choice_is_the_same_on_every_library(
    array: Callable[..., Any],
    to_numpy: Callable[[Any], np.ndarray],
    run: Callable[..., Any],
) -> None:
    spec, tried = SPECS["uint4-asymmetric"], ("minmax", "mse")

    def ends(x: Any) -> Any:
        h = Histogram.of(x, bins=128, granularity=PerChannel(0))
        return compute_range(h, spec, "auto", methods=tried)

    for found, expected in zip(run(ends, array(rows())), ends(rows()), strict=True):
        assert np.array_equal(to_numpy(found), expected)


@pytest.mark.parametrize("metric", ["mse", "sqnr"])
def test_the_comparison_tells_what_auto_chooses(metric: str) -> None:
    h, spec = state(), SPECS["int8"]
    table = compare_methods(h, spec, metric=metric)
    lo, hi = compute_range(h, spec, "auto", metric=metric)
    channels = np.arange(3)
    assert np.array_equal(table.lo[table.best, channels], lo)
    assert np.array_equal(table.hi[table.best, channels], hi)
    assert {"minmax", "percentile", "entropy", "ifmr", "hfmg", "mse"} < {*table.methods}


def test_the_comparison_prints_a_line_for_each_method() -> None:
    candidates = ["minmax", ("percentile", {"percentile": 99.0})]
    lines = str(compare_methods(state(), SPECS["int8"], methods=candidates)).split("\n")
    assert [line.split()[0] for line in lines] == ["method", "minmax", "percentile"]
    assert sum(int(line.split()[-3]) for line in lines[1:]) == 3
    assert "99.0" in lines[2]


def test_the_comparison_works_on_every_library(array: Callable[..., Any]) -> None:
    x = rows()[0]
    ours, theirs = (
        compare_methods(Histogram.of(data), SPECS["int8"], methods=NAMES)
        for data in (array(x), x)
    )
    assert str(ours) == str(theirs)


def test_no_candidate_is_an_error() -> None:
    with pytest.raises(ValueError, match="`methods` must name at least one"):
        compute_range(state(), SPECS["int8"], "auto", methods=())
    with pytest.raises(ValueError, match="`methods` must name at least one"):
        compare_methods(state(), SPECS["int8"], methods=())


def test_an_unknown_metric_is_an_error() -> None:
    with pytest.raises(ValueError, match="`metric` must be one of"):
        compute_range(state(), SPECS["int8"], "auto", metric="mae")


def test_data_of_zeros_has_a_range() -> None:
    h = Histogram.of(np.zeros(5, np.float32))
    for metric in ("mse", "sqnr"):
        assert calibrate(h, SPECS["int8"], "auto", metric=metric).scale == 1


def test_under_a_global_scale_the_order_of_the_blocks_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(64, 16)) * 2.0 ** rng.integers(-9, 9, (64, 1))).astype("f4")
    spec = QuantSpec("float4_e2m1fn", scale_format="float8_e4m3fn")
    ends = [
        compute_range(
            Histogram.of(rows, granularity=PerChannel(0)), spec, "auto", methods=NAMES
        )[1]
        for rows in (x, x[::-1])
    ]
    assert np.array_equal(ends[0], ends[1][::-1])
    h = Histogram.of(x, granularity=PerChannel(0))
    table = compare_methods(h, spec, methods=NAMES)
    assert np.array_equal(table.hi[table.best, np.arange(64)], ends[0])


@pytest.mark.parametrize(
    "methods", ["mse", [5], [("percentile",)], [("percentile", None)]]
)
def test_candidates_that_are_none_are_refused(methods: Any) -> None:
    with pytest.raises(TypeError, match="`methods` must be a sequence of names"):
        compare_methods(state(), SPECS["int8"], methods=methods)
