import ml_dtypes
import numpy as np
import pytest

from qcore import FloatFormat, IntFormat, parse_format
from qcore.errors import UnknownFormatError

FLOATS = [
    "float8_e4m3fn",
    "float8_e5m2",
    "float6_e2m3fn",
    "float6_e3m2fn",
    "float4_e2m1fn",
    "float8_e8m0fnu",
]
INTS = [f"{sign}int{bits}" for bits in range(2, 17) for sign in ("", "u")]


@pytest.mark.parametrize(
    ("name", "qmin", "qmax"),
    [
        ("int2", -2, 1),
        ("uint2", 0, 3),
        ("int4", -8, 7),
        ("uint4", 0, 15),
        ("int8", -128, 127),
        ("uint8", 0, 255),
        ("int12", -2048, 2047),
        ("int16", -32768, 32767),
        ("uint16", 0, 65535),
    ],
)
def test_integer_codes_span_the_width(name, qmin, qmax):
    fmt = parse_format(name)
    assert (fmt.qmin, fmt.qmax) == (qmin, qmax)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_narrow_integers_leave_out_the_lowest_code(bits):
    fmt = IntFormat(bits, narrow=True)
    assert fmt.qmin == -fmt.qmax == 1 - 2 ** (bits - 1)


@pytest.mark.parametrize("name", FLOATS)
def test_nan_is_stored_as_itself_or_else_as_the_lowest_number(name):
    fmt = parse_format(name)
    stored = fmt.values[fmt.stored_nan]
    assert np.isnan(stored) if fmt.nan_code is not None else stored == -fmt.max


@pytest.mark.parametrize("name", FLOATS)
def test_the_sign_bit_negates_a_number_of_a_signed_format(name):
    fmt = parse_format(name)
    lowest = fmt.values[fmt.max_code + fmt.sign_bit]
    assert lowest == (-fmt.max if fmt.signed else fmt.max)


@pytest.mark.parametrize(
    ("name", "storage"),
    [
        ("int2", "int8"),
        ("int8", "int8"),
        ("uint3", "uint8"),
        ("uint8", "uint8"),
        ("int9", "int16"),
        ("uint16", "uint16"),
        ("float4_e2m1fn", "uint8"),
        ("float8_e5m2", "uint8"),
    ],
)
def test_storage_is_the_smallest_whole_dtype(name, storage):
    assert parse_format(name).storage == storage


@pytest.mark.parametrize("name", FLOATS)
def test_every_code_stands_for_the_number_of_ml_dtypes(name):
    fmt = parse_format(name)
    codes = np.arange(2**fmt.bits, dtype=np.uint8)
    expected = codes.view(getattr(ml_dtypes, name)).astype(np.float64)
    np.testing.assert_array_equal(fmt.values, expected)
    seen = ~np.isnan(expected)
    assert (np.signbit(fmt.values) == np.signbit(expected))[seen].all()


@pytest.mark.parametrize("name", FLOATS)
def test_the_largest_number_is_that_of_ml_dtypes(name):
    limits = ml_dtypes.finfo(getattr(ml_dtypes, name))
    fmt = parse_format(name)
    assert fmt.max == float(limits.max)
    assert fmt.bits == limits.bits


@pytest.mark.parametrize("name", FLOATS[:-1])
def test_magnitudes_are_the_finite_numbers_from_zero_up(name):
    codes = np.arange(256, dtype=np.uint8)[: 2 ** parse_format(name).bits]
    numbers = codes.view(getattr(ml_dtypes, name)).astype(np.float64)
    expected = np.unique(np.abs(numbers[np.isfinite(numbers)]))
    np.testing.assert_array_equal(parse_format(name).magnitudes, expected)


@pytest.mark.parametrize("name", FLOATS + INTS)
def test_a_name_is_parsed_to_the_format_of_that_name(name):
    fmt = parse_format(name)
    assert fmt.name == name
    assert isinstance(fmt, IntFormat if "int" in name else FloatFormat)
    assert parse_format(fmt) is fmt


def test_formats_of_equal_fields_are_one():
    assert parse_format("int4") == IntFormat(4)
    assert hash(parse_format("uint4")) == hash(IntFormat(4, signed=False))
    assert IntFormat(8) != IntFormat(8, narrow=True)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("int88", "int8"),
        ("unit8", "uint8"),
        ("float8_e4m3", "float8_e4m3fn"),
        ("fp8_e5m2", "float8_e5m2"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(wrong, meant):
    with pytest.raises(UnknownFormatError, match=f"did you mean '{meant}'"):
        parse_format(wrong)


@pytest.mark.parametrize("kind", [ValueError, TypeError])
def test_an_unknown_name_is_a_value_error_and_a_type_error(kind):
    with pytest.raises(kind):
        parse_format("int1")


def test_what_is_no_name_is_refused():
    with pytest.raises(TypeError, match="`format` must be a name or a format; got int"):
        parse_format(8)


@pytest.mark.parametrize("bits", [1, 17, 0, -8, 8.0])
def test_an_integer_has_2_to_16_bits(bits):
    with pytest.raises(ValueError, match="`bits` must be an integer from 2 to 16"):
        IntFormat(bits)


def test_narrow_is_for_signed_integers():
    with pytest.raises(ValueError, match="`narrow` must be false"):
        IntFormat(8, signed=False, narrow=True)
