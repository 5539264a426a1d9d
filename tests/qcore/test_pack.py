from math import prod

import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from onnx import numpy_helper

from qcore import IntFormat, pack, parse_format, unpack
from qcore.pack import pack_rows, unpack_rows

NAMES = ["int2", "uint3", "int4", "uint4", "int5", "uint6", "int7", "uint8"]
NAMES += ["float4_e2m1fn", "float6_e3m2fn", "float8_e5m2"]


def random_codes(name, shape):
    fmt = parse_format(name)
    is_int = isinstance(fmt, IntFormat)
    low, high = (fmt.qmin, fmt.qmax) if is_int else (0, 2**fmt.bits - 1)
    rng = np.random.default_rng(9)
    return rng.integers(low, high, shape, endpoint=True).astype(fmt.storage)


def bytes_of_bit_string(codes, bits):
    """Write all bits into one string, lowest first, and cut it into bytes."""
    masked = (int(code) & (2**bits - 1) for code in np.ravel(codes))
    text = "".join(f"{code:0{bits}b}"[::-1] for code in masked)
    return [int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8)]


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_one_string_of_bits(array, to_numpy, name):
    codes = random_codes(name, (3, 7))
    found = to_numpy(pack(array(codes), name))
    assert found.dtype == np.uint8
    assert found.tolist() == bytes_of_bit_string(codes, parse_format(name).bits)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_packed_is_unpacked(array, to_numpy, name):
    codes = random_codes(name, (3, 7))
    packed = array(np.uint8(bytes_of_bit_string(codes, parse_format(name).bits)))
    found = unpack(packed, name, (3, 7))
    np.testing.assert_array_equal(to_numpy(found), codes, strict=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 3, 5), (4, 8), (2, 0), (0, 3)])
def test_each_row_fills_whole_bytes_of_its_own(array, to_numpy, xp, name, shape):
    fmt, codes = parse_format(name), random_codes(name, shape)
    packed = pack_rows(array(codes), fmt, xp=xp)
    if fmt.bits < 8:
        rows = codes.reshape(prod(shape[:-1]), shape[-1])
        expected = [bytes_of_bit_string(row, fmt.bits) for row in rows]
        found = to_numpy(packed)
        assert found.shape == (*shape[:-1], -(-shape[-1] * fmt.bits // 8))
        assert found.reshape(len(rows), found.shape[-1]).tolist() == expected
    found = to_numpy(unpack_rows(packed, fmt, shape[-1], xp=xp))
    np.testing.assert_array_equal(found, codes, strict=True)


@pytest.mark.parametrize("name", ["int3"])
def test_packing_compiles(run, array, to_numpy, name):
    codes = random_codes(name, (3, 7))
    found = run(lambda c: unpack(pack(c, name), name, (3, 7)), array(codes))
    np.testing.assert_array_equal(to_numpy(found), codes, strict=True)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("int4", ml_dtypes.int4),
        ("uint4", ml_dtypes.uint4),
        ("float4_e2m1fn", ml_dtypes.float4_e2m1fn),
        ("int2", ml_dtypes.int2),
        ("uint2", ml_dtypes.uint2),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 21])
def test_the_bytes_are_those_of_an_onnx_tensor(array, to_numpy, name, dtype, count):
    codes = random_codes(name, count)
    is_float = name.startswith("float")
    tensor = numpy_helper.from_array(
        codes.view(dtype) if is_float else codes.astype(dtype)
    )
    assert to_numpy(pack(array(codes), name)).tobytes() == tensor.raw_data


@given(codes=st.lists(st.integers(-4, 3), max_size=20))
def test_any_number_of_codes_survives(codes):
    codes = np.int8(codes)
    packed = pack(codes, "int3")
    assert len(packed) == -(-3 * len(codes) // 8)
    np.testing.assert_array_equal(unpack(packed, "int3", codes.shape), codes)


def test_no_codes_are_no_bytes(array):
    assert pack(array(np.zeros((0, 3), np.int8)), "int4").shape == (0,)
    assert unpack(array(np.zeros(0, np.uint8)), "int4", (0, 3)).shape == (0, 3)


def test_one_code_is_one_byte(array, to_numpy):
    packed = pack(array(np.int8(-2)), "int4")
    assert to_numpy(packed).tolist() == [0b1110]
    assert to_numpy(unpack(packed, "int4", ())).tolist() == -2


def test_a_format_fits_a_byte(array):
    with pytest.raises(ValueError, match="at most 8 bits to be packed; got int9"):
        pack(array(np.int16([1])), "int9")


def test_codes_are_of_the_storage_dtype(array):
    with pytest.raises(TypeError, match="codes of uint4 must be uint8; got int8"):
        pack(array(np.int8([1])), "uint4")


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1)])
def test_the_bytes_are_as_many_as_the_codes_take(array, shape):
    packed = array(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="`packed` must be 3 bytes for int4 codes"):
        unpack(packed, "int4", (5,))


def test_packed_bytes_are_uint8(array):
    with pytest.raises(TypeError, match="`packed` must be uint8; got int8"):
        unpack(array(np.int8([-1])), "int4", (2,))
