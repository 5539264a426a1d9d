"""What every method of the registry promises, on every library."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from qcore import (
    Histogram,
    NoDataError,
    NonFiniteError,
    PerChannel,
    QuantSpec,
    Range,
    Top2,
    calibrate,
    compute_range,
    methods,
    quantize,
)
from qcore.libraries import arithmetic, namespace
from qcore.methods.ends import best_candidate
from qcore.methods.registry import find_method

SPECS = {
    "int8": QuantSpec("int8"),
    "uint8": QuantSpec("uint8"),
    "asymmetric": QuantSpec("int8", symmetric=False),
    "float": QuantSpec("float4_e2m1fn"),
}
MORE_SPECS = {
    **SPECS,
    "int16": QuantSpec("int16"),
    "uint4-asymmetric": QuantSpec("uint4", symmetric=False),
    "int16-asymmetric": QuantSpec("int16", symmetric=False),
    "float8": QuantSpec("float8_e5m2"),
}
TOP = 3.4028235e38

# How many times as far out as the values a range may reach, as the methods say.
TIMES = {"ifmr": 1.3, "floating": 2, "auto": 2}
SINGLE = [method for method in methods() if method != "auto"]  # which runs the others
DECIDING = [method for method in methods() if method != "constant"]


def pairs(specs: dict[str, QuantSpec], names: Iterable[str] = methods()) -> Any:
    """Return the mark that gives a test each method with each spec that it serves."""
    served = [
        pytest.param(method, spec, id=f"{method}-{name}")
        for method in names
        for name, spec in specs.items()
        if method != "isotone" or not name.startswith("float")
    ]
    return pytest.mark.parametrize(("method", "spec"), served)


each_method = pytest.mark.parametrize("method", methods())
each_of_more_pairs = pairs(MORE_SPECS)


def rows() -> np.ndarray:
    """Return channels of all sorts, one of them all zero."""
    rng = np.random.default_rng(0)
    kinds = [
        rng.normal(size=400),
        rng.laplace(size=400) - 0.5,
        np.maximum(rng.normal(size=400), 0),
        np.append(rng.uniform(-1, 1, 399), 300),
        np.full(400, -0.7),
        np.zeros(400),
    ]
    return np.stack(kinds).astype(np.float32)


def collected(
    method: str, x: Any, spec: QuantSpec = SPECS["int8"], **options: Any
) -> Any:
    """Return statistics of the kind that a method needs."""
    kind = find_method(method).needs[0]
    if kind is Histogram:
        options = {"bins": 64, **options}
    if kind is Top2:
        options = {"format": spec.format, **options}
    return kind.of(x, **options)


def per_channel(method: str, x: Any, spec: QuantSpec = SPECS["int8"]) -> Any:
    return collected(method, x, spec, granularity=PerChannel(0))


def ends_of(statistics: Any, spec: QuantSpec, method: str) -> Iterator[np.ndarray]:
    return map(np.asarray, compute_range(statistics, spec, method))


@pairs(SPECS, SINGLE)
def test_every_library_chooses_the_same_ranges_and_codes(
    array: Callable[..., Any],
    to_numpy: Callable[..., np.ndarray],
    method: str,
    spec: QuantSpec,
) -> None:
    state, x = per_channel(method, array(rows()), spec), array(rows())
    own = per_channel(method, rows(), spec)
    found = (
        *compute_range(state, spec, method),
        quantize(x, calibrate(state, spec, method)),
    )
    expected = (
        *compute_range(own, spec, method),
        quantize(rows(), calibrate(own, spec, method)),
    )
    for ours, numpys in zip(map(to_numpy, found), expected, strict=True):
        np.testing.assert_array_equal(ours, numpys, strict=True)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", SINGLE)
def test_a_compiled_function_chooses_the_same_scales(
    array: Callable[..., Any],
    to_numpy: Callable[..., np.ndarray],
    run: Callable[..., Any],
    method: str,
    symmetric: bool,
) -> None:
    spec = QuantSpec("int8", symmetric=symmetric)
    state = per_channel(method, array(rows()))
    found = run(lambda state: calibrate(state, spec, method), state)
    own = calibrate(per_channel(method, rows()), spec, method)
    np.testing.assert_array_equal(to_numpy(found.scale), own.scale, strict=True)
    np.testing.assert_array_equal(to_numpy(found.zero_point), own.zero_point)


@each_method
def test_ends_are_float32_one_for_each_channel(
    xp: Any, device: Any, array: Callable[..., Any], method: str
) -> None:
    state = per_channel(method, array(rows()))
    for end in compute_range(state, SPECS["int8"], method):
        assert (end.shape, end.dtype) == ((6,), xp.float32)
        assert device is None or end.device == device


@pairs(MORE_SPECS, DECIDING)
def test_a_power_of_two_scales_the_range_exactly(method: str, spec: QuantSpec) -> None:
    plain = np.stack([*ends_of(per_channel(method, rows(), spec), spec, method)])
    for k in (-90, -1, 60):
        scaled = per_channel(method, np.ldexp(rows(), k), spec)
        found = np.stack([*ends_of(scaled, spec, method)])
        np.testing.assert_array_equal(found, np.ldexp(plain, k))


@each_of_more_pairs
def test_zero_lies_in_the_range(method: str, spec: QuantSpec) -> None:
    lo, hi = ends_of(per_channel(method, rows(), spec), spec, method)
    assert np.all(lo <= 0)
    assert np.all(hi >= 0)


@pairs({name: s for name, s in MORE_SPECS.items() if s.symmetric}, DECIDING)
def test_a_symmetric_range_holds_no_more_than_was_seen(
    method: str, spec: QuantSpec
) -> None:
    x = rows()
    lo, hi = ends_of(per_channel(method, x, spec), spec, method)
    # The spacing of a float format repeats in every octave, which mse makes use of.
    is_mse_of_floats = method == "mse" and spec.format.name.startswith("float")
    octaves = 2 if is_mse_of_floats else TIMES.get(method, 1)
    # A scale may be the first of a grid, at most half a step and 1/32 beyond.
    qmax = spec.format.max
    beyond = 33 / 32 * qmax / (qmax - 0.5) if method == "isotone" else 1
    assert np.all(hi <= octaves * beyond * np.abs(x).max(axis=1))
    assert np.all((lo == -hi) | (lo == 0))


# The zero point of isotone is always 0, and the range of floating may lie aside.
@pytest.mark.parametrize("method", sorted({*DECIDING} - {"isotone", "floating"}))
@pytest.mark.parametrize("name", ["int8", "uint4", "int16"])
def test_an_asymmetric_range_reaches_a_slot_and_a_step_further_at_most(
    method: str, name: str
) -> None:
    x, spec = rows(), QuantSpec(name, symmetric=False)
    state = per_channel(method, x)
    slot = Histogram.of(x, bins=64, granularity=PerChannel(0)).width
    further = slot + calibrate(state, spec, method).scale[:, 0]
    lo, hi = ends_of(state, spec, method)
    times = TIMES.get(method, 1)
    assert np.all(lo >= times * np.minimum(x.min(axis=1), 0) - further)
    assert np.all(hi <= times * np.maximum(x.max(axis=1), 0) + further)


@pytest.mark.parametrize("method", [m for m in methods() if m != "moving_average"])
def test_batches_in_any_order_give_the_same_range(method: str) -> None:
    batches = np.split(rows().ravel(), 8)
    ends = []
    for order in (range(8), [3, 7, 0, 5, 1, 6, 2, 4]):
        state = collected(method, batches[order[0]])
        for i in order[1:]:
            state = state.update(batches[i])
        ends.append([*ends_of(state, SPECS["asymmetric"], method)])
    assert ends[0] == ends[1]


@each_of_more_pairs
def test_zeros_alone_have_scale_one_and_code_zero(method: str, spec: QuantSpec) -> None:
    zeros = np.zeros(9, np.float32)
    qparams = calibrate(collected(method, zeros, spec), spec, method)
    assert qparams.scale == 1
    assert np.all(quantize(zeros, qparams) == qparams.zero_point)


@each_of_more_pairs
@pytest.mark.parametrize(
    "values",
    [
        [0.3],
        [-5.0] * 50,
        [*[0.001] * 500, 1e4],
        [1e-30, -2e-30, 1.5e-30],
        [1e30, -2e30, 1.5e30],
        [TOP, -TOP, 1],
        [2.0**-126, -(2.0**-125)],
    ],
    ids=["one", "constant", "outlier", "small", "large", "largest", "smallest"],
)
def test_odd_data_has_a_usable_scale(
    method: str, spec: QuantSpec, values: list[float]
) -> None:
    x = np.asarray(values, np.float32)
    scale = calibrate(collected(method, x, spec), spec, method).scale
    assert 0 < scale < np.inf


@each_method
def test_a_constant_is_kept_as_well_as_codes_can(method: str) -> None:
    x = np.full(50, 0.7, np.float32)
    for spec in (SPECS["int8"], SPECS["asymmetric"]):
        qparams = calibrate(collected(method, x), spec, method)
        codes = quantize(x, qparams).astype(np.float32)
        back = (codes - qparams.zero_point) * qparams.scale
        assert np.all(np.abs(back - x) <= qparams.scale)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@each_method
def test_data_that_is_not_finite_is_an_error(method: str, bad: float) -> None:
    state = collected(method, np.asarray([1, bad, 2], np.float32))
    with pytest.raises(NonFiniteError, match="must hold finite values alone"):
        compute_range(state, SPECS["int8"], method)


@each_method
def test_what_is_not_finite_may_be_ignored(method: str) -> None:
    x = rows()[0]
    tainted = np.append(x, np.asarray([np.nan, np.inf, -np.inf], np.float32))
    found = compute_range(
        collected(method, tainted), SPECS["int8"], method, nonfinite="ignore"
    )
    assert found == compute_range(collected(method, x), SPECS["int8"], method)


@each_method
def test_nothing_seen_is_an_error(method: str) -> None:
    state = collected(method, np.empty(0, np.float32))
    with pytest.raises(NoDataError, match="must have seen a finite value"):
        compute_range(state, SPECS["int8"], method)


def test_a_compiled_function_returns_nan_where_data_was_not_finite() -> None:
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray([[1.0, 2.0], [3.0, float("inf")], [float("nan"), 1.0]])
    state = Range.of(x, granularity=PerChannel(0))

    def scales(nonfinite: str) -> Any:
        spec = SPECS["asymmetric"]
        f = jax.jit(lambda s: calibrate(s, spec, "minmax", nonfinite=nonfinite).scale)
        return np.isnan(f(state)[:, 0]).tolist()

    assert scales("raise") == [False, True, True]
    assert scales("ignore") == [False, False, False]


@pytest.mark.parametrize(
    ("objective", "chosen"),
    [
        ([3, 1, 2], 1),
        ([1, 2, 1], 2),
        ([1, 1 + 1e-10, 1 + 1e-8], 1),
        ([float("nan"), 2, float("inf")], 1),
        ([float("nan"), float("inf"), float("nan")], -1),
        ([0, 0, 5], 1),
    ],
)
def test_the_largest_of_the_best_candidates_is_chosen(
    xp: Any, array: Callable[..., Any], objective: list[float], chosen: int
) -> None:
    row = array([objective], "float64")
    with arithmetic(namespace(row)):
        index = best_candidate(row, array([[True] * 3], "bool"), xp=xp)
    assert int(index[0]) == chosen
