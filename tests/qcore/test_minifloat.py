import ml_dtypes
import numpy as np
import pytest

from qcore import parse_format
from qcore.minifloat import decode, encode, round_to_format

pytestmark = pytest.mark.parametrize(
    "name",
    [
        "float8_e4m3fn",
        "float8_e5m2",
        "float6_e2m3fn",
        "float6_e3m2fn",
        "float4_e2m1fn",
    ],
)
HALVES = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)


def numbers(name):
    """Return the finite numbers of a format, from ml_dtypes."""
    codes = np.arange(2 ** parse_format(name).bits, dtype=np.uint8)
    values = codes.view(getattr(ml_dtypes, name)).astype(np.float32)
    return np.unique(values[np.isfinite(values)])


def around_midpoints(name):
    """Return the points where rounding changes, and their float32 neighbours."""
    levels = numbers(name)
    middle = (levels[1:] + levels[:-1]) / 2
    return np.concatenate([np.nextafter(middle, np.float32(s)) for s in (-1e9, 1e9)])


def saturated(x, name):
    return np.clip(x, -numbers(name)[-1], numbers(name)[-1])


@pytest.fixture
def values(name):
    levels = numbers(name)
    middles = (levels[1:] + levels[:-1]) / 2
    ends = np.float32([3.4e38, -3.4e38, np.inf, -np.inf, 1e-45, -1e-45, 2.0**-126])
    x = np.concatenate([levels, middles, around_midpoints(name), ends])
    padding = np.zeros(1024 - len(x), np.float32)  # one shape for all is compiled once
    return np.concatenate([HALVES[~np.isnan(HALVES)], x, padding])


def test_codes_are_those_of_ml_dtypes(xp, run, array, to_numpy, name, values):
    fmt = parse_format(name)
    found = run(lambda x: encode(x, fmt, xp=xp), array(values))
    expected = saturated(values, name).astype(getattr(ml_dtypes, name)).view(np.uint8)
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


def test_values_are_those_of_ml_dtypes(xp, run, array, to_numpy, name, values):
    fmt = parse_format(name)
    found = run(lambda x: round_to_format(x, fmt, xp=xp), array(values))
    expected = saturated(values, name).astype(getattr(ml_dtypes, name))
    np.testing.assert_array_equal(to_numpy(found), expected.astype(np.float32))


def test_every_code_stands_for_the_number_of_ml_dtypes(xp, array, to_numpy, name):
    fmt = parse_format(name)
    codes = np.arange(2**fmt.bits, dtype=np.uint8)
    found = to_numpy(decode(array(codes), fmt, xp=xp))
    expected = codes.view(getattr(ml_dtypes, name)).astype(np.float32)
    np.testing.assert_array_equal(found, expected, strict=True)
    is_zero = expected == 0
    assert (np.signbit(found) == np.signbit(expected))[is_zero].all()


def test_nan_has_the_nan_of_the_format_or_its_lowest_number(xp, array, to_numpy, name):
    fmt = parse_format(name)
    code = to_numpy(encode(array(np.float32([np.nan])), fmt, xp=xp))
    number = code.view(getattr(ml_dtypes, name)).astype(np.float32)
    expected = np.nan if name.startswith("float8") else numbers(name)[0]
    np.testing.assert_array_equal(number, [expected])


def test_the_rounded_nan_is_nan(xp, array, to_numpy, name):
    fmt = parse_format(name)
    x = array(np.float32([np.nan, 1]))
    found = round_to_format(x, fmt, xp=xp)
    np.testing.assert_array_equal(to_numpy(found), [np.nan, 1])
