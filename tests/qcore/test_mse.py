"""The mse search against integrals written out, and against the samples themselves."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from qcore import (
    Histogram,
    IntFormat,
    PerChannel,
    PerTensor,
    QuantSpec,
    calibrate,
    compute_range,
    fake_quantize,
    qparams_from_amax,
)
from tests.qcore.distributions import KINDS, samples

Ends = tuple[float, float]
TIE = 1 + 1e-9


def levels_of(spec: QuantSpec) -> np.ndarray:
    """Return what the codes stand for at scale 1 and zero point 0."""
    if spec.format.name.startswith("float"):
        values = np.asarray(spec.format.values)
        return np.unique(values[np.isfinite(values)])
    return np.arange(spec.format.qmin, spec.format.qmax + 1.0)


def integral(h: Histogram, levels: np.ndarray) -> float:
    """Return the squared distance to the nearest level, slots being the unit.

    Each slot is cut where the nearest level changes, and every piece integrated.
    """
    line = np.concatenate([h.counts[0, 0, ::-1], h.counts[0, 1]])
    cuts = (levels[1:] + levels[:-1]) / 2
    edges = np.arange(-h.slots, h.slots + 1.0)
    edges = np.unique(np.concatenate([edges, cuts[np.abs(cuts) < h.slots]]))
    low, high = edges[:-1], edges[1:]
    middle = (low + high) / 2
    near = levels[np.searchsorted(cuts, middle)]
    density = line[np.floor(middle).astype(int) + h.slots]
    return float(np.sum(density * ((high - near) ** 3 - (low - near) ** 3)) / 3)


def best_amax(h: Histogram, spec: QuantSpec) -> float:
    """Return the largest of the slot edges that are as good as the best.

    Those of a float format lie up to twice as far out as the values.
    """
    levels = levels_of(spec)
    high = max(float(h.max[0]), 0.0)
    amax = max(-float(h.min[0]), high) if levels[0] < 0 else high
    amax *= 2 if spec.format.name.startswith("float") else 1
    width = float(h.width[0])
    edges = range(1, int(np.ceil(amax / width)) + 1)
    reaches = [min(t, amax / width) for t in edges]
    errors = np.asarray([integral(h, levels * (t / levels[-1])) for t in reaches])
    if amax == 0:
        return 0.0
    return width * reaches[max(np.flatnonzero(errors <= errors.min() * TIE))]


def best_affine_range(h: Histogram, spec: QuantSpec) -> Ends:
    """Return the widest of the best widths, with its best zero point."""
    codes = spec.format.qmax - spec.format.qmin
    below, above = (
        max(float(end[0]), 0) / float(h.width[0]) for end in (-h.min, h.max)
    )
    whole = range(1, int(np.ceil(below + above)) + 1)
    widths = [min(width, below + above) for width in whole]

    def errors(width: float) -> np.ndarray:
        q = np.arange(codes + 1.0)
        return np.asarray([integral(h, (q - z) * (width / codes)) for z in q])

    table = np.stack([errors(width) for width in widths])
    least = table.min(axis=1)
    best = max(np.flatnonzero(least <= least.min() * TIE))
    (zero_points,) = np.nonzero(table[best] <= table[best].min() * TIE)
    step = widths[best] / codes

    def idle(z: int) -> float:
        return max(z * step - below, (codes - z) * step - above)

    z = min(zero_points, key=lambda z: (idle(z), -z))
    return -z * step * float(h.width[0]), (codes - z) * step * float(h.width[0])


def found_range(h: Histogram, spec: QuantSpec, **options: int) -> Ends:
    lo, hi = compute_range(h, spec, "mse", **options)
    return float(lo[0]), float(hi[0])


NAMES = ["int2", "int4", "int8", "uint4", "uint8", "float4_e2m1fn", "float8_e4m3fn"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_symmetric_search_finds_the_best_slot_edge(kind: str, name: str) -> None:
    h, spec = Histogram.of(samples(kind), bins=64), QuantSpec(name)
    assert found_range(h, spec)[1] == np.float32(best_amax(h, spec))


@pytest.mark.parametrize("symmetric", [True, False])
def test_options_say_where_to_look(symmetric: bool) -> None:
    h, spec = (
        Histogram.of(samples("gaussian"), bins=64),
        QuantSpec("int3", symmetric=symmetric),
    )
    lo, hi = found_range(h, spec, start_bin=5, stride=7)
    width = (hi - lo if not symmetric else hi) / float(h.width[0])
    assert width == pytest.approx(5 + 7 * round((width - 5) / 7))
    everywhere = found_range(h, spec)
    assert found_range(h, spec, start_bin=1, stride=1) == everywhere
    assert found_range(h, spec, start_bin=1 << 20) == found_range(
        h, spec, stride=1 << 20
    )


@pytest.mark.parametrize("option", [{"start_bin": 0}, {"stride": 0}, {"stride": True}])
def test_a_senseless_option_is_named(option: dict[str, int]) -> None:
    h = Histogram.of(samples("gaussian"), bins=64)
    with pytest.raises(ValueError, match=f"`{next(iter(option))}` must be an integer"):
        found_range(h, QuantSpec("int8"), **option)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["int3", "uint4"])
def test_an_asymmetric_search_finds_the_best_width_and_zero_point(
    kind: str, name: str
) -> None:
    h = Histogram.of(samples(kind), bins=32)
    spec = QuantSpec(name, symmetric=False)
    lo, hi = best_affine_range(h, spec)
    assert found_range(h, spec) == (np.float32(lo), np.float32(hi))


@pytest.mark.parametrize("kind", KINDS)
def test_an_asymmetric_search_with_8_bits_is_as_good_as_trying_all(kind: str) -> None:
    h = Histogram.of(samples(kind), bins=8)
    spec = QuantSpec("uint8", symmetric=False)
    lo, hi = best_affine_range(h, spec)
    assert found_range(h, spec) == (np.float32(lo), np.float32(hi))


def test_the_zero_point_is_the_one_that_was_scored() -> None:
    h = Histogram.of(samples("laplace"), bins=32)
    spec = QuantSpec("uint4", symmetric=False)
    lo, hi = best_affine_range(h, spec)
    qparams = calibrate(h, spec, "mse")
    assert int(qparams.zero_point) == round(-lo / (hi - lo) * 15)


def test_a_narrow_format_has_no_lowest_code() -> None:
    h = Histogram.of(-np.abs(samples("laplace")), bins=64)
    narrow = QuantSpec(IntFormat(3, narrow=True))
    assert found_range(h, narrow)[1] == np.float32(best_amax(h, narrow))
    assert found_range(h, narrow) != found_range(h, QuantSpec("int3"))


def test_each_channel_is_searched_as_if_alone() -> None:
    rows = np.stack([samples(kind)[:200] for kind in KINDS])
    spec = QuantSpec("uint8", symmetric=False)
    h = Histogram.of(rows, bins=64, granularity=PerChannel(0))
    lo, hi = compute_range(h, spec, "mse")
    alone = [found_range(Histogram.of(row, bins=64), spec) for row in rows]
    assert list(zip(lo.tolist(), hi.tolist(), strict=True)) == alone


def test_data_that_reaches_to_the_largest_number_has_a_finite_range() -> None:
    top = np.finfo(np.float32).max
    x = np.asarray([-top, 1, top], np.float32)
    for name in ("int8", "int16"):
        h = Histogram.of(x, bins=64)
        ends = found_range(h, QuantSpec(name, symmetric=False))
        assert np.all(np.isfinite(ends))


@pytest.mark.parametrize("rounding", ["up", "floor", "nearest"])
@pytest.mark.parametrize("name", ["int4", "uint8", "float8_e4m3fn"])
def test_of_powers_of_two_the_best_is_the_scale(name: str, rounding: str) -> None:
    x = np.append(np.abs(samples("laplace")), np.float32(30))
    spec = QuantSpec(name, scale_format="float8_e8m0fnu", scale_rounding=rounding)

    def error(scale: float) -> float:
        qparams = qparams_from_amax(np.float32(scale * spec.format.max), spec)
        assert qparams.scale == scale
        return float(np.mean((fake_quantize(x, qparams) - x.astype(float)) ** 2))

    best = min((2.0**e for e in range(-20, 9)), key=error)
    assert calibrate(Histogram.of(x), spec, "mse").scale == best


def evenly_drawn(kind: str, n: int = 1 << 15) -> np.ndarray:
    """Return the quantiles of a distribution: samples without sampling noise."""
    share = (np.arange(n) + 0.5) / n
    tail = np.log(2 * np.minimum(share, 1 - share))
    values = {
        "gaussian": lambda: [NormalDist().inv_cdf(p) for p in share],
        "laplace": lambda: np.where(share < 0.5, tail, -tail) + 0.5,
        "relu": lambda: [max(NormalDist().inv_cdf(p), 0) for p in share],
        "uniform": lambda: 3 * share - 1,
    }
    return np.asarray(values[kind](), np.float32)


def true_error(x: np.ndarray, lo: float, hi: float, spec: QuantSpec) -> float:
    """Return the mean squared error on the samples, in float64."""
    low, high = spec.format.qmin, spec.format.qmax
    scale = max(-lo, hi) / high if spec.symmetric else (hi - lo) / (high - low)
    zero_point = 0 if spec.symmetric else round(low - lo / scale)
    codes = np.clip(np.round(x / scale) + zero_point, low, high)
    return float(np.mean((x - (codes - zero_point) * scale) ** 2))


def least_error(x: np.ndarray, spec: QuantSpec) -> float:
    """Return the least error over a grid of ends, made finer around the best twice."""
    x = x.astype(np.float64)
    lo, hi = (0.0, np.abs(x).max()) if spec.symmetric else (x.min(), x.max())
    grid, errors = np.linspace(0.04, 1.2, 30), {}
    for _ in range(3):
        for a in lo * grid if lo else [0.0]:
            errors |= {(a, b): true_error(x, a, b, spec) for b in hi * grid}
        lo, hi = min(errors, key=errors.__getitem__)
        grid = 1 + (grid[1] - grid[0]) * np.linspace(-1, 1, 9)
    return min(errors.values())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("kind", ["gaussian", "laplace", "relu", "uniform"])
def test_the_error_on_the_samples_is_nearly_the_least(
    kind: str, symmetric: bool
) -> None:
    x, spec = evenly_drawn(kind), QuantSpec("int8", symmetric=symmetric)
    fake = fake_quantize(x, calibrate(Histogram.of(x), spec, "mse"))
    error = np.mean((x.astype(np.float64) - fake) ** 2)
    assert error <= 1.002 * least_error(x, spec)


def test_sixteen_bits_lose_nearly_as_little_as_they_can() -> None:
    x = evenly_drawn("laplace", 1 << 18)  # fewer would leave most codes without one
    for symmetric in (True, False):
        spec = QuantSpec("int16", symmetric=symmetric)
        fake = fake_quantize(x, calibrate(Histogram.of(x), spec, "mse"))
        error = np.mean((x.astype(np.float64) - fake) ** 2)
        assert error <= 1.002 * least_error(x, spec)


@pytest.mark.parametrize("method", ["mse", "hfmg"])
@pytest.mark.parametrize("spec", ["int4", "float8_e5m2", "float4_e2m1fn"])
def test_all_libraries_choose_alike_where_errors_are_rounding_errors(
    run, array, to_numpy, spec, method
):
    x = np.float32([[0.9, 0.8999, 0], [1.0, 1.0, 0.9995], [0.99, 0.99, -0.001]])
    mask = x != 0  # JAX compiles once for rows of one length

    def scales(x, mask):
        seen = Histogram.of(x, granularity=PerChannel(0), mask=mask)
        return [calibrate(seen, how, method).scale[:, 0] for how in specs]

    forms = [True] if spec.startswith("float") else [True, False]
    specs = [QuantSpec(spec, PerChannel(0), symmetric=form) for form in forms]
    found = run(scales, array(x), array(mask))
    for how, ours in zip(specs, found, strict=True):
        alone = replace(how, granularity=PerTensor())
        for scale, row, kept in zip(to_numpy(ours), x, mask, strict=True):
            assert scale == calibrate(Histogram.of(row[kept]), alone, method).scale
