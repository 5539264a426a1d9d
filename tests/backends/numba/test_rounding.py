"""The compiled codes, values and gradients are the portable ones to the last bit."""

import numpy as np
import pytest
from array_api_compat import numpy as xp

import qcore
import qcore.backends.numpy
from qcore import PerBlock, PerChannel, PerTensor, QuantSpec, affine
from qcore import gradient as portable_gradient
from qcore.kernels import Declined
from qcore.libraries import arithmetic

pytest.importorskip("numba")
from qcore.backends.numba import gradient, rounding, threads
from tests.backends.hard import (
    DTYPES,
    FORMATS,
    assert_same_bits,
    misaligned,
    numbers,
    read_only,
)

SHARINGS = [
    ((50, 40), PerTensor()),
    ((3, 700), PerChannel(0)),
    ((3, 700), PerChannel(1)),
    ((600, 3), PerChannel(1)),
    ((200, 100), PerChannel(-1)),
    ((5, 4, 300), PerChannel(1)),
    ((5, 4, 3, 3), PerChannel(1)),
    ((2, 700, 5, 6), PerChannel(1)),
    ((5, 4, 300), PerChannel((0, 2))),
    ((5, 4, 6), PerChannel((0, 2))),
    ((5, 4, 6, 7), PerChannel((1, 3))),
    ((5, 4, 6, 7), PerChannel((0, 2))),
    ((6, 5), PerChannel((0, 1))),
    ((1, 5, 1, 8), PerChannel(3)),
    ((7, 200), PerBlock(1, 150)),
    ((7, 200), PerBlock(1, 32)),
    ((300, 20), PerBlock(1, 16)),
    ((70,), PerBlock(0, 16)),
    ((7, 50, 200), PerBlock(1, 16)),
    ((7, 50, 9), PerBlock(1, 16)),
    ((2, 3, 4), PerBlock(2, 9)),
]


ORDERS = {
    "rows first": np.asfortranarray,
    "with gaps": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[..., ::-1].copy()[..., ::-1],
    "misaligned": misaligned,
    "read-only": read_only,
}


def hard(shape, dtype):
    """Return data whose ties are those of the step that `scales` begin with."""
    return numbers(shape, dtype, step=0.5)


def scales(shape, spec, seed=1):
    """Return scales, one of which makes ties, and zero points."""
    rng, shape = np.random.default_rng(seed), spec.granularity.scale_shape(shape)
    scale = rng.uniform(0.01, 0.9, shape).astype(np.float32)
    scale[(0,) * len(shape)] = 0.5
    zero = np.zeros(shape, np.int32)
    if not spec.symmetric:
        fmt = spec.format
        zero = rng.integers(fmt.qmin, fmt.qmax + 1, shape).astype(np.int32)
    return scale, zero


def assert_both_are_portable(x, spec):
    scale, zero = scales(x.shape, spec)
    for name in ("quantize_data", "fake_quantize_data"):
        found = getattr(rounding, name)(x, scale, zero, spec)
        with arithmetic(xp):
            expected = getattr(affine, name).reference(x, scale, zero, spec, xp=xp)
        assert_same_bits(found, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_the_same_codes_and_values(name, dtype):
    x = hard((8, 2000), dtype)
    for symmetric in (True, "float" in name):
        spec = QuantSpec(name, granularity=PerChannel(0), symmetric=symmetric)
        assert_both_are_portable(x, spec)


@pytest.mark.parametrize("name", ["int8", "int16", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_number_of_16_bits_has_the_same_codes_and_values(dtype, name):
    x = np.arange(2**16, dtype=np.uint16).view(DTYPES[dtype]).reshape(4, -1)
    for granularity in (PerTensor(), PerChannel(0)):
        assert_both_are_portable(x, QuantSpec(name, granularity=granularity))


@pytest.mark.parametrize("name", ["int8", "uint8", "float4_e2m1fn"])
@pytest.mark.parametrize(("shape", "granularity"), SHARINGS, ids=str)
def test_elements_share_scales_as_the_granularity_says(shape, granularity, name):
    spec = QuantSpec(name, granularity=granularity, symmetric=name != "uint8")
    assert_both_are_portable(hard(shape, "float32"), spec)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("shape", "granularity"), SHARINGS, ids=str)
def test_data_may_lie_in_memory_in_any_order(shape, granularity, order):
    x = ORDERS[order](hard(shape, "float32"))
    spec = QuantSpec("uint8", granularity=granularity, symmetric=False)
    assert_both_are_portable(x, spec)
    assert_gradients_are_portable(x, spec, np.cos(np.nan_to_num(x)))


@pytest.mark.parametrize("shape", [(1,), (0,), (3, 0), (1, 1, 1)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_few_elements_or_none_are_served(shape, dtype):
    x = np.full(shape, -0.75).astype(DTYPES[dtype])
    assert_both_are_portable(x, QuantSpec("int4"))
    assert_gradients_are_portable(x, QuantSpec("int4"), np.ones_like(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_threads(dtype, monkeypatch):
    monkeypatch.setattr(threads, "LEAST", 10)
    monkeypatch.setattr(threads, "most_threads", lambda: 3)
    for shape, granularity in SHARINGS:
        spec = QuantSpec("uint8", granularity=granularity, symmetric=False)
        assert_both_are_portable(hard(shape, dtype), spec)


@pytest.mark.parametrize("name", ["quantize_data", "fake_quantize_data"])
def test_a_buffer_is_filled(name):
    x, spec = hard((30, 40), "float32"), QuantSpec("int8", granularity=PerChannel(1))
    native, scale = getattr(rounding, name), scales(x.shape, spec)
    expected = native(x, *scale, spec)
    for out in (np.empty_like(expected), np.empty_like(expected, order="F")):
        assert native(x, *scale, spec, out=out) is out
        assert_same_bits(out, expected)


def assert_gradients_are_portable(x, spec, arriving):
    scale, zero = scales(x.shape, spec)
    arguments = arriving, x, scale, zero, spec
    found = gradient.fake_quantize_gradient(*arguments)
    with arithmetic(xp):
        reference = portable_gradient.fake_quantize_gradient.reference
        expected = reference(*arguments, xp=xp)
    assert_same_bits(found[0], expected[0])
    assert (found[1].dtype, found[1].shape) == (np.float32, scale.shape)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["int8", "uint8", "float8_e4m3fn"])
@pytest.mark.parametrize(("shape", "granularity"), SHARINGS, ids=str)
def test_gradients_are_the_portable_ones(shape, granularity, name):
    spec = QuantSpec(name, granularity=granularity, symmetric=name != "uint8")
    x = np.nan_to_num(hard(shape, "float32"))
    assert_gradients_are_portable(x, spec, np.cos(x))


@pytest.mark.parametrize("arriving", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_keep_their_own_dtype(dtype, arriving):
    x = hard((4, 3000), dtype)
    with np.errstate(all="ignore"):
        x = np.where(np.isfinite(x), x, 1).astype(x.dtype)
    given = np.cos(np.arange(12_000.0)).reshape(x.shape).astype(DTYPES[arriving])
    assert_gradients_are_portable(x, QuantSpec(granularity=PerChannel(0)), given)


def test_a_gradient_at_nan_is_zero_and_spoils_that_of_the_scale():
    x = np.float32([[1, np.nan, 2], [1, 3, 2]])
    spec = QuantSpec(granularity=PerChannel(0))
    passed, of_scale = gradient.fake_quantize_gradient(
        np.ones_like(x), x, *scales(x.shape, spec), spec
    )
    np.testing.assert_array_equal(passed, [[1, 0, 1], [1, 1, 1]])
    np.testing.assert_array_equal(np.isnan(of_scale[:, 0]), [True, False])


@pytest.mark.parametrize(
    ("shape", "granularity"),
    [
        ((600_000,), PerTensor()),
        ((3, 200_001), PerChannel(0)),
        ((200_001, 3), PerChannel(1)),
        ((2, 3, 90_000), PerChannel(1)),
        ((20, 6000), PerBlock(1, 16)),
        ((4, 100, 300), PerBlock(1, 16)),
    ],
    ids=str,
)
def test_sums_do_not_depend_on_the_number_of_threads(shape, granularity, monkeypatch):
    monkeypatch.setattr(threads, "LEAST", 1000)
    x, spec = np.nan_to_num(hard(shape, "float32")), QuantSpec(granularity=granularity)
    arguments = np.cos(x), x, *scales(shape, spec), spec
    found = []
    for number in (1, 2, 3, 7):
        monkeypatch.setattr(threads, "most_threads", lambda number=number: number)
        found.append(gradient.fake_quantize_gradient(*arguments))
    for passed, of_scale in found[1:]:
        assert_same_bits(passed, found[0][0])
        assert_same_bits(of_scale, found[0][1])
    assert_gradients_are_portable(x, spec, np.cos(x))


def test_what_is_not_served_is_declined():
    x, spec = np.ones((2, 3), np.float32), QuantSpec(granularity=PerChannel(0))
    scale, zero = scales(x.shape, spec)
    swapped = x.astype(x.dtype.newbyteorder())
    away = QuantSpec(granularity=PerChannel(0), rounding="half_away")
    for arguments in (
        (x, scale, zero, away),
        (swapped, scale, zero, spec),
        (x, np.ones((1, 2), np.float32), np.zeros((1, 2), np.int32), spec),
    ):
        for native in (rounding.quantize_data, rounding.fake_quantize_data):
            assert isinstance(native(*arguments), Declined)
        found = gradient.fake_quantize_gradient(x, *arguments)
        assert isinstance(found, Declined)


def test_scales_of_the_wrong_shape_are_refused_as_without_numba():
    x = np.ones((2, 3), np.float32)
    spec = QuantSpec(granularity=PerChannel(0))
    qparams = qcore.QParams(
        np.ones((1, 3), np.float32), np.zeros((1, 3), np.int32), spec
    )
    with pytest.raises(ValueError, match="must have shape"):
        qcore.fake_quantize(x, qparams)


def test_a_single_number_stays_of_the_type_that_the_portable_function_gives():
    qparams = qcore.QParams(np.float32(0.5), np.int32(0), QuantSpec())
    found = qcore.fake_quantize(np.asarray(np.float32(0.6)), qparams)
    assert type(found) is np.float32
    assert found == np.float32(0.5)
