"""Block formats, against loops over blocks with the dtypes of ml_dtypes."""

import ml_dtypes
import numpy as np
import pytest

from qcore import (
    PerBlock,
    QuantSpec,
    UnknownFormatError,
    block_spec,
    decode_scales,
    dequantize,
    encode_scales,
    fake_quantize,
    pack,
    parse_format,
    qparams_from_data,
    quantize,
    unpack,
)

# Element dtype and its largest number: OCP MX v1.0, section 5.3; of MXINT8 1 63/64.
MX = {
    "mxfp8_e5m2": (ml_dtypes.float8_e5m2, 57344),
    "mxfp8_e4m3": (ml_dtypes.float8_e4m3fn, 448),
    "mxfp6_e3m2": (ml_dtypes.float6_e3m2fn, 28),
    "mxfp6_e2m3": (ml_dtypes.float6_e2m3fn, 7.5),
    "mxfp4": (ml_dtypes.float4_e2m1fn, 6),
    "mxint8": (None, 127 / 64),
}
SIZES = dict.fromkeys(MX, 32) | {"nvfp4": 16}
# All numbers of FP4 E2M1: table 5 of the specification.
FP4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6]


def samples(shape=(3, 75)):
    """Return data of many sizes, with blocks of zeros, subnormals and huge values."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) * np.exp2(rng.integers(-20, 20, (*shape[:-1], 1)))
    x = x.astype(np.float32)
    x[0, :32] = 0
    x[1, 32:64] = 1e-41
    x[2, :3] = (1e38, -1e30, 1e-45)
    return x


def elements(x, name):
    """Return what OCP's elements stand for, for values divided by X."""
    dtype, top = MX[name]
    x = np.clip(x, -top, top)
    if dtype is None:
        return np.rint(x * 64) / 64
    return x.astype(dtype).astype(np.float32)


def shared_scale(amax, name, rounding):
    """Return X: from exact logarithms, the exponents being those of float32 numbers."""
    top = MX[name][1]
    if rounding == "floor":
        exponent = np.frexp(amax)[1] - np.frexp(top)[1]
    else:
        mantissa, exponent = np.frexp(np.float64(amax) / top)
        exponent = exponent - (mantissa == 0.5)
    lowest = -120 if name == "mxint8" else -126
    return np.ldexp(np.float64(1), np.clip(exponent, lowest, 127))


def blockwise(x, name, rounding):
    """Return X of every block and the values of its elements."""
    values, shared = np.zeros_like(x), []
    for start in range(0, x.shape[1], 32):
        block = x[:, start : start + 32]
        amax = np.abs(block).max(axis=1, keepdims=True)
        one = 64.0 if name == "mxint8" else 1.0
        scale = shared_scale(np.maximum(amax, np.float32(2.0**-126)), name, rounding)
        scale = np.where(amax < 2.0**-126, one, scale)
        quotient = (block / scale.astype(np.float64)).astype(np.float32)
        values[:, start : start + 32] = elements(quotient, name) * scale
        shared.append(scale)
    return np.concatenate(shared, axis=1), values


@pytest.mark.parametrize("rounding", ["up", "floor"])
@pytest.mark.parametrize("name", MX)
def test_mx_blocks_are_those_of_the_specification(run, array, to_numpy, name, rounding):
    spec = block_spec(name, scale_rounding=rounding)

    def stored(x):
        qparams = qparams_from_data(x, spec)
        return encode_scales(qparams)[0], fake_quantize(x, qparams)

    codes, values = map(to_numpy, run(stored, array(samples())))
    shared, expected = blockwise(samples(), name, rounding)
    assert codes.shape == (3, 3)
    found = codes.view(ml_dtypes.float8_e8m0fnu).astype(np.float64)
    np.testing.assert_array_equal(found, shared)
    np.testing.assert_array_equal(values, expected)


def test_nvfp4_blocks_are_float4_times_float8_times_the_global_scale(
    run, array, to_numpy
):
    x = np.random.default_rng(1).standard_normal((3, 75)).astype(np.float32)

    def stored(x):
        qparams = qparams_from_data(x, block_spec("nvfp4"))
        return quantize(x, qparams), *encode_scales(qparams)

    codes, scales, level = map(to_numpy, run(stored, array(x)))
    expected_level = np.abs(x).max() / np.float32(6 * 448)
    assert level == expected_level
    for start in range(0, 75, 16):
        block = x[:, start : start + 16]
        part = np.abs(block).max(axis=1, keepdims=True) / (np.float32(6) * level)
        part = part.astype(ml_dtypes.float8_e4m3fn)
        np.testing.assert_array_equal(scales[:, [start // 16]], part.view(np.uint8))
        quotient = np.clip(block / (part.astype(np.float32) * level), -6, 6)
        numbers = quotient.astype(ml_dtypes.float4_e2m1fn)
        np.testing.assert_array_equal(
            codes[:, start : start + 16], numbers.view(np.uint8)
        )


@pytest.mark.parametrize("name", SIZES)
def test_a_tensor_comes_back_from_its_bytes(array, to_numpy, name):
    x, spec = samples((3, 75)), block_spec(name)
    qparams = qparams_from_data(array(x), spec)
    packed = pack(quantize(array(x), qparams), spec.format)
    scales, level = encode_scales(qparams)
    assert to_numpy(packed).nbytes == -(-x.size * spec.format.bits // 8)
    assert to_numpy(scales).nbytes == 3 * -(-75 // SIZES[name])

    scale = decode_scales(scales, spec, level)
    codes = unpack(packed, spec.format, x.shape)
    read = type(qparams)(scale, qparams.zero_point, spec, level)
    expected = to_numpy(fake_quantize(array(x), qparams))
    np.testing.assert_array_equal(to_numpy(dequantize(codes, read)), expected)


def test_fp4_numbers_are_those_of_the_table():
    assert list(parse_format("float4_e2m1fn").magnitudes) == FP4


@pytest.mark.parametrize("name", MX)
def test_the_largest_element_is_that_of_the_table(name):
    fmt = block_spec(name).format
    assert fmt.max * (2.0**-6 if name == "mxint8" else 1) == MX[name][1]


def test_int8_elements_have_their_binary_point_after_the_second_bit(array, to_numpy):
    x = np.float32([[1.984375, -1, 0.015625, 0]])
    spec = block_spec("mxint8")
    qparams = qparams_from_data(array(x), spec)
    assert to_numpy(encode_scales(qparams)[0]).tolist() == [[127]]  # X is 1
    assert to_numpy(quantize(array(x), qparams)).tolist() == [[127, -64, 1, 0]]


def test_the_floor_rule_saturates_what_the_other_holds(array, to_numpy):
    x = array(np.float32([7.9, 1]))  # over 6, under the next power of two
    for rounding, expected in (("floor", [6, 1]), ("up", [8, 1])):
        spec = block_spec("mxfp4", scale_rounding=rounding)
        found = fake_quantize(x, qparams_from_data(x, spec))
        assert to_numpy(found).tolist() == expected


@pytest.mark.parametrize("name", SIZES)
def test_values_that_are_representable_survive(array, to_numpy, name):
    spec = block_spec(name)
    top, unit = spec.format.max, 2.0**-9
    x = np.float32([[top, -top, 1, 0, 2, -1], [0, 0, 0, 0, 0, 0]]) * np.float32(unit)
    found = fake_quantize(array(x), qparams_from_data(array(x), spec))
    np.testing.assert_allclose(to_numpy(found), x, rtol=2e-7 * (name == "nvfp4"))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["mxfp4", "mxint8", "nvfp4"])
def test_blocks_lie_along_the_axis(name, axis):
    x = np.random.default_rng(2).standard_normal((40, 50)).astype(np.float32)
    turned = np.moveaxis(x, axis, -1).copy()
    found = fake_quantize(x, qparams_from_data(x, block_spec(name, axis)))
    expected = fake_quantize(turned, qparams_from_data(turned, block_spec(name)))
    np.testing.assert_array_equal(np.moveaxis(found, axis, -1), expected)


@pytest.mark.parametrize("name", ["mxint8", "nvfp4"])
def test_data_of_other_dtypes_has_the_same_codes(array, to_numpy, float_dtype, name):
    x = np.random.default_rng(3).integers(-99, 99, (3, 75)).astype(np.float64) / 16
    spec = block_spec(name)
    codes = [
        to_numpy(quantize(data, qparams_from_data(data, spec)))
        for data in (array(x), array(x, float_dtype))
    ]
    np.testing.assert_array_equal(*codes, strict=True)


@pytest.mark.parametrize("name", SIZES)
def test_nan_stays_in_its_block(array, to_numpy, name):
    x = np.ones((1, 64), np.float32)
    x[0, 5] = np.nan
    one = {"global_scale": array(np.float32(1))} if name == "nvfp4" else {}
    qparams = qparams_from_data(array(x), block_spec(name), **one)
    is_nan = np.isnan(to_numpy(fake_quantize(array(x), qparams)))
    assert is_nan[0, : SIZES[name]].all()
    assert not is_nan[0, SIZES[name] :].any()


@pytest.mark.parametrize(("name", "size"), [("int4", 32), ("int8", 16), ("uint4", 7)])
def test_integers_per_block_are_quantized_like_their_slices(
    run, array, to_numpy, name, size
):
    x = samples()[:, :60] * np.float32(1e-3)
    spec = QuantSpec(name, PerBlock(1, size), symmetric=name != "uint4")
    found = run(lambda x: quantize(x, qparams_from_data(x, spec)), array(x))
    one = QuantSpec(name, symmetric=spec.symmetric)
    slices = [
        quantize(
            row[None, i : i + size], qparams_from_data(row[None, i : i + size], one)
        )
        for row in x
        for i in range(0, 60, size)
    ]
    expected = np.concatenate(slices, axis=1).reshape(x.shape)
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


def test_block_specs_are_those_of_the_names():
    for name, size in SIZES.items():
        spec = block_spec(name, 1)
        assert spec.granularity == PerBlock(1, size)
        assert spec.scale_format == "float8_e" + ("4m3fn" if "nv" in name else "8m0fnu")
        assert block_spec(name) == block_spec(name, -1)


@pytest.mark.parametrize(
    ("name", "said"),
    [("mxfp8", "did you mean 'mxfp"), ("NVFP4", "known are|did you"), (4, "got 4")],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, said):
    with pytest.raises(UnknownFormatError, match=said):
        block_spec(name)


def test_scales_of_nvfp4_have_no_exponent_rule():
    with pytest.raises(ValueError, match="got 'floor'"):
        block_spec("nvfp4", scale_rounding="floor")
