"""Methods whose searches run in CUDA C choose the ranges that the portable ones do."""

from functools import partial

import numpy as np
import pytest

import qcore
from qcore import QuantSpec
from qcore.backends import entries
from qcore.backends.cuda.kernels import SERVED
from qcore.kernels import Native, kernels
from qcore.libraries import load_backends

load_backends("numpy")  # before any of its natives are patched

SPECS = [
    *(("int4", True), ("int4", False), ("uint8", True), ("int8", False)),
    *(("int16", True), ("float4_e2m1fn", True), ("float8_e4m3fn", True)),
]
METHODS = [
    *(("entropy", {}), ("entropy", {"stride": 7, "start_bin": 5})),
    *(("mse", {}), ("mse", {"stride": 7, "start_bin": 5})),
    *(("ifmr", {"search_step": 0.1}), ("floating", {})),
]


def rows():
    """Return bells, zeros, a ReLU's, an outlier, one value, and few values."""
    x = np.random.default_rng(0).standard_normal((9, 2999)).astype(np.float32)
    x[3], x[4] = 0, np.maximum(x[4], 0)
    x[5, 7], x[6], x[7] = 1000, -2.5, np.rint(x[7] * 3)
    return x


def ranges(x, spec, method, options):
    histogram = qcore.Histogram.of(x, bins=64, granularity=qcore.PerChannel(0))
    return qcore.compute_range(histogram, spec, method, **options)


def expected_ranges(monkeypatch, *given):
    """Return the ranges that the portable functions choose on NumPy's arrays."""
    with monkeypatch.context() as patch:
        for kernel in kernels().values():
            patch.setitem(kernel.natives, "numpy", [])
        return ranges(*given)


@pytest.fixture
def emulated(device, monkeypatch):
    """Let the emulator serve the searches on arrays of NumPy; its launches."""

    def native(launcher, *given, **named):
        def there(x):
            return np.ascontiguousarray(x) if isinstance(x, np.ndarray) else x

        options = {name: there(x) for name, x in named.items()}
        return launcher(device, *map(there, given), **options)

    for kernel, launcher in SERVED:
        served = [Native(partial(native, launcher), traceable=False)]
        monkeypatch.setitem(kernel.natives, "numpy", served)
    monkeypatch.setitem(kernels()["solve"].natives, "numpy", [])
    return device.launched


@pytest.mark.parametrize(("name", "symmetric"), SPECS)
@pytest.mark.parametrize(
    ("method", "options"), METHODS, ids=[f"{m}{len(o)}" for m, o in METHODS]
)
def test_ranges_equal_the_portable_ones(
    emulated, monkeypatch, method, options, name, symmetric
):
    given = rows(), QuantSpec(name, symmetric=symmetric), method, options
    found = ranges(*given)
    assert emulated
    for one, other in zip(found, expected_ranges(monkeypatch, *given), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "symmetric"), SPECS)
@pytest.mark.parametrize(
    ("method", "options"), METHODS, ids=[f"{m}{len(o)}" for m, o in METHODS]
)
def test_ranges_on_a_gpu_by_cupy_equal_the_portable_ones(
    monkeypatch, method, options, name, symmetric
):
    cupy = pytest.importorskip("cupy")
    if not cupy.is_available():
        pytest.skip("cupy sees no GPU")
    for kernel, launcher in SERVED:
        kernel.declines.pop(launcher.__module__, None)
    spec = QuantSpec(name, symmetric=symmetric)
    found = ranges(cupy.asarray(rows()), spec, method, options)
    for kernel, launcher in SERVED:
        assert launcher.__module__ not in kernel.declines
    expected = expected_ranges(monkeypatch, rows(), spec, method, options)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.get(), other)


@pytest.mark.parametrize("most", [1, 1 << 40])
def test_entries_by_the_block_have_the_same_ranges(monkeypatch, most):
    solve = kernels()["solve"]

    def native(_, *given):
        xp = qcore.libraries.namespace(rows())
        return entries.solve(*given, memory=most, xp=xp)

    served = [Native(native, traceable=False)]
    given = rows(), QuantSpec("int8"), "percentile", {}
    expected = expected_ranges(monkeypatch, *given)
    monkeypatch.setitem(solve.natives, "numpy", served)
    for one, other in zip(ranges(*given), expected, strict=True):
        np.testing.assert_array_equal(one, other)
