"""Whatever serves them, arrays of any layout have the counts and codes of their values.

Expected are NumPy's own operations on a plain copy, and the definition of a histogram.
"""

from importlib.util import find_spec

import numpy as np
import pytest

import qcore
from qcore import PerTensor, QParams, QuantSpec
from tests.backends.hard import STEP, misaligned, numbers, read_only
from tests.qcore.histogram_definition import definition


def hard():
    return numbers((9, 16), seed=5)


# From an array of a library to another one of it; or of NumPy's, where only it can.
LAYOUTS = {
    "plain": lambda x: x,
    "transposed": lambda x: x.T,
    "every other": lambda x: x[:, ::2],
    "misaligned for vectors": lambda x: x[1:, 1:],
    "0-d": lambda x: x[2, 3],
    "no rows": lambda x: x[:0, :],
    "one": lambda x: x[:1, :1],
}
OF_NUMPY = {
    "misaligned": misaligned,
    "read-only": read_only,
    "backwards": lambda x: x[::-1, ::-1],
}


def codes_of(x):
    with np.errstate(all="ignore"):
        codes = np.clip(np.rint(x / STEP), -128, 127)
    return np.where(np.isnan(codes), np.float32(-128), codes).astype(np.int8)


def values_of(x):
    with np.errstate(all="ignore"):
        codes = np.rint(x / STEP) + np.float32(0)  # codes have one zero
    return np.clip(codes, -128, 127) * STEP


@pytest.fixture
def qparams(array):
    return QParams(array(STEP), array(np.int32(0)), QuantSpec("int8", PerTensor()))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_codes_are_those_of_a_plain_copy(array, to_numpy, qparams, layout):
    x = LAYOUTS[layout](hard())
    found = qcore.quantize(LAYOUTS[layout](array(hard())), qparams)
    np.testing.assert_array_equal(to_numpy(found), codes_of(x.copy()), strict=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_are_those_of_a_plain_copy(array, to_numpy, qparams, layout):
    found = to_numpy(qcore.fake_quantize(LAYOUTS[layout](array(hard())), qparams))
    expected = values_of(LAYOUTS[layout](hard()).copy())
    np.testing.assert_array_equal(found, expected, strict=True)
    is_zero = expected == 0
    np.testing.assert_array_equal(np.signbit(found[is_zero]), False)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_counts_are_those_of_the_definition(array, to_numpy, layout):
    x = LAYOUTS[layout](hard())
    found = qcore.Histogram.of(LAYOUTS[layout](array(hard())), bins=24)
    for name, expected in definition(x).items():
        counted = to_numpy(getattr(found, name))[0]
        np.testing.assert_array_equal(counted, expected, err_msg=name)


@pytest.mark.parametrize("xp", ["numpy"], indirect=True)
@pytest.mark.parametrize("layout", OF_NUMPY)
def test_arrays_that_numpy_alone_has_are_read_as_their_values(xp, qparams, layout):
    x = OF_NUMPY[layout](hard())
    plain = np.array(x, np.float32)
    np.testing.assert_array_equal(qcore.quantize(x, qparams), codes_of(plain))
    np.testing.assert_array_equal(qcore.fake_quantize(x, qparams), values_of(plain))
    found = qcore.Histogram.of(x, bins=24)
    for name, expected in definition(plain).items():
        np.testing.assert_array_equal(getattr(found, name)[0], expected, err_msg=name)
    assert xp.__name__.endswith("numpy")


def many(xp):
    """Return more zeros, but for two, than 32 bits number; they take no memory."""
    if find_spec("numba") is None:
        pytest.skip("the portable functions take tens of gigabytes; numba is missing")
    x = xp.zeros(2**31 + 5, dtype=xp.float16)
    x[-2], x[7] = 1.0, -0.5
    return x


@pytest.mark.slow
@pytest.mark.parametrize("xp", ["numpy"], indirect=True)
def test_more_elements_than_32_bits_number_are_counted_and_coded(xp):
    x = many(xp)
    found = qcore.Histogram.of(x, bins=24)
    assert int(found.zeros[0]) == x.size - 2
    assert found.counts.sum() == 2
    qparams = QParams(np.float32(0.5), np.int32(0), QuantSpec("int8"))
    codes = qcore.quantize(x, qparams)
    assert (codes[-2], codes[7], codes[-1]) == (2, -1, 0)
    del codes
    values = qcore.fake_quantize(x, qparams)
    assert (values[-2], values[7], values[-1]) == (1.0, -0.5, 0.0)


@pytest.mark.slow
def test_the_kernels_of_numpy_are_lent_more_elements_than_32_bits_number():
    torch = pytest.importorskip("torch")
    half, zero = torch.tensor(0.5), torch.tensor(0, dtype=torch.int32)
    codes = qcore.quantize(many(torch), QParams(half, zero, QuantSpec("int8")))
    assert (int(codes[-2]), int(codes[7]), int(codes[-1])) == (2, -1, 0)
