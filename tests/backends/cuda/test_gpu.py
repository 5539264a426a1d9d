"""On a GPU the kernels make what the portable functions make on the CPU."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from qcore.kernels import Declined
from qcore.statistics import Histogram
from qcore.statistics.tally import tally
from tests.backends.cuda.cases import (
    fake_quantize_case,
    gradient_case,
    quantize_case,
    regrid_cases,
    rounding_cases,
    tally_case,
    tally_cases,
)
from tests.backends.hard import assert_same_bits, rows

pytestmark = pytest.mark.gpu

TALLIES = tally_cases(100_003)
REGRIDS = regrid_cases()
ROUNDINGS = rounding_cases()


CYCLES = 200_000_000
"""About a tenth of a second."""
REST = """
extern "C" __global__ void rest(long long cycles) {
  long long start = clock64();
  while (clock64() - start < cycles) {}
}
"""


@dataclass
class Way:
    """How a library calls the kernels, and how arrays get there and back.

    `behind_work` makes a stream current, calls a function with 0 to have memory and
    code there, and with 1 while the stream is busy; it tells whether it was so to the
    end of the call. All work is done when it returns.
    """

    kernels: Any
    put: Any
    get: Any
    behind_work: Callable[[Callable[[int], None]], bool]


def by_torch():
    torch = import_module("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")

    def put(x):
        if x.dtype == ml_dtypes.bfloat16:
            return torch.tensor(x.view(np.int16), device="cuda").view(torch.bfloat16)
        return torch.tensor(x, device="cuda")

    def get(x):
        if x.dtype == torch.bfloat16:
            return x.view(torch.int16).cpu().numpy().view(ml_dtypes.bfloat16)
        return x.cpu().numpy()

    def behind_work(function):
        stream, done = torch.cuda.Stream(), torch.cuda.Event()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            function(0)
            torch.cuda._sleep(CYCLES)
            function(1)
            done.record()
            is_busy = not done.query()
        torch.cuda.synchronize()
        return is_busy

    return Way(import_module("qcore.backends.torch.cuda"), put, get, behind_work)


def by_cupy():
    cupy = import_module("cupy")
    if not cupy.is_available():
        pytest.skip("cupy sees no GPU")

    def put(x):
        whole = np.dtype(f"u{x.dtype.itemsize}")
        bits = cupy.asarray(np.ascontiguousarray(x).view(whole))
        return bits.view(cupy.dtype(x.dtype)).reshape(x.shape)

    def get(x):
        return x.view(cupy.dtype(f"u{x.dtype.itemsize}")).get().view(x.dtype)

    def behind_work(function):
        rest = cupy.RawKernel(REST, "rest")
        cupy.cuda.Device().synchronize()
        with cupy.cuda.Stream(non_blocking=True) as stream:
            function(0)
            rest((1,), (1,), (np.int64(CYCLES),))
            function(1)
            is_busy = not stream.done
        cupy.cuda.Device().synchronize()
        return is_busy

    return Way(import_module("qcore.backends.cupy.cuda"), put, get, behind_work)


@pytest.fixture(scope="module", params=["torch", "cupy"])
def way(request):
    if find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return {"torch": by_torch, "cupy": by_cupy}[request.param]()


def call(way, function, given):
    """Return what a kernel makes, as arrays of NumPy, or why it declines."""
    there = [way.put(x) if isinstance(x, np.ndarray) else x for x in given]
    found = getattr(way.kernels, function)(*there)
    if isinstance(found, Declined):
        return found
    parts = found if isinstance(found, tuple) else (found,)
    return tuple(way.get(part) for part in parts)


def assert_equal(way, function, case):
    found = call(way, function, case.given)
    assert not isinstance(found, Declined), found.reason
    for pair in zip(found, case.expected, strict=True):
        assert_same_bits(*pair)


@pytest.mark.parametrize("case", TALLIES.values(), ids=TALLIES)
def test_counts_equal_the_portable_ones(way, case):
    assert_equal(way, "tally", case)


def test_a_misaligned_view_is_counted(way):
    given = tally_case(rows(1, 50_000), 64).given
    case = tally_case(given[0][:, 3:], 64)
    there = way.put(given[0])[:, 3:]
    found = way.kernels.tally(there, None, None, 64, None)
    for part, expected in zip(found, case.expected, strict=True):
        assert_same_bits(way.get(part), expected)


def test_many_rows_are_counted(way):
    assert_equal(way, "tally", tally_case(rows(4096, 64), 256, [-5] * 4096))


def test_one_row_of_many_values_is_counted(way):
    assert_equal(way, "tally", tally_case(rows(1, 5_000_011), 4096, [2]))


@pytest.mark.parametrize("case", REGRIDS.values(), ids=REGRIDS)
def test_widened_counts_equal_the_portable_ones(way, case):
    assert_equal(way, "regrid", case)


@pytest.mark.parametrize("given", ROUNDINGS.values(), ids=ROUNDINGS)
def test_rounded_data_equals_the_portable_one(way, given):
    assert_equal(way, "quantize_data", quantize_case(given))
    assert_equal(way, "fake_quantize_data", fake_quantize_case(given))


@pytest.mark.parametrize("given", ROUNDINGS.values(), ids=ROUNDINGS)
def test_gradients_equal_the_portable_ones(way, given):
    case = gradient_case(given)
    found = call(way, "fake_quantize_gradient", case.given)
    if isinstance(found, Declined):
        assert found.reason == "blocks along another axis than the last"
        return
    assert_same_bits(found[0], case.expected[0])
    np.testing.assert_allclose(found[1], case.expected[1], rtol=2e-6, atol=1e-5)


def test_kernels_run_on_the_current_stream_and_wait_for_nothing(way):
    x = way.put(np.zeros((3, 5000), np.float32))
    k = way.put(np.full(3, -4, np.int32))
    case = tally_case(np.ones((3, 5000), np.float32), 256, [-4] * 3)
    found = []

    def count(value):
        x[...] = value
        found[:] = way.kernels.tally(x, None, None, 256, k)

    assert way.behind_work(count)
    for part, expected in zip(found, case.expected, strict=True):
        assert_same_bits(way.get(part), expected)


def test_a_histogram_is_updated_without_waiting_for_the_gpu():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    first, other = (torch.randn(9, 5000, device="cuda") * s for s in (1, 100))
    histogram = Histogram.of(first).update(other)  # compiles
    tally.declines.pop("qcore.backends.torch.cuda", None)
    torch.cuda.set_sync_debug_mode("error")
    try:
        histogram = histogram.update(first).update(1000 * other)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert "qcore.backends.torch.cuda" not in tally.declines
    expected = Histogram.of(first.cpu()).update(other.cpu())
    expected = expected.update(first.cpu()).update(1000 * other.cpu())
    assert torch.equal(histogram.counts.cpu(), expected.counts)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_an_array_of_jax_goes_by_cupy_and_back(dtype):
    jax = pytest.importorskip("jax", reason="jax is not installed")
    pytest.importorskip("cupy", reason="cupy is not installed")
    if jax.default_backend() != "gpu":
        pytest.skip("jax sees no GPU")
    qcore = import_module("qcore")
    case = tally_case(rows(3, 40_000, dtype), 256, [-4, -4, -4])
    x = jax.numpy.asarray(case.given[0])
    namespace = qcore.libraries.namespace(x)
    with qcore.libraries.arithmetic(namespace):
        k = jax.numpy.asarray(case.given[4])
        tally.declines.pop("qcore.backends.jax.cuda", None)
        found = tally(x, None, None, 256, k, xp=namespace)
        assert "qcore.backends.jax.cuda" not in tally.declines
        for part, expected in zip(found, case.expected, strict=True):
            assert_same_bits(np.asarray(part), expected)
