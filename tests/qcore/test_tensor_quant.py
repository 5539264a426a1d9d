import numpy as np
import pytest

from qcore import fake_tensor_quant, tensor_quant
from qcore.tensor_quant import fake_affine_tensor_quant

# The documented example of pytorch-quantization: torch.manual_seed(12345), 10 values of
# torch.rand, and what its documentation prints.
INPUTS = np.float32(
    [
        0.9817181825637817,
        0.8796065449714661,
        0.992143452167511,
        0.461067259311676,
        0.08321595191955566,
        0.17843109369277954,
        0.36743152141571045,
        0.5676497220993042,
        0.3376067280769348,
        0.21194660663604736,
    ]
)
QUANTIZED = [126, 113, 127, 59, 11, 23, 47, 73, 43, 27]
FAKE = [0.9843, 0.8828, 0.9921, 0.4609, 0.0859, 0.1797, 0.3672, 0.5703, 0.3359, 0.2109]
AMAX = INPUTS.max()


def formula(x, amax, top, bottom):
    """Return outputs and scale in float32."""
    scale = np.float32(top) / np.float32(amax)
    return np.clip(np.rint(x * scale), bottom, top).astype(np.float32), scale


def test_the_worked_example_is_reproduced(run, array, to_numpy):
    outputs, scale = run(tensor_quant, array(INPUTS), array(AMAX))
    assert to_numpy(outputs).tolist() == QUANTIZED
    assert float(scale) == pytest.approx(128.0057, abs=5e-5)


def test_the_worked_fake_example_is_reproduced(run, array, to_numpy):
    found = run(fake_tensor_quant, array(INPUTS), array(AMAX))
    # Some of the printed figures are cut, not rounded.
    np.testing.assert_allclose(to_numpy(found), FAKE, rtol=0, atol=1e-4)


def test_inputs_are_multiplied_by_the_scale(run, array, to_numpy):
    # A division by 1 / scale would round some of these ties the other way.
    x = np.arange(-254, 255).astype(np.float32) / 2 * np.float32(2.5 / 127)
    outputs, _ = run(tensor_quant, array(x), array(np.float32(2.5)))
    expected, _ = formula(x, 2.5, 127, -127)
    np.testing.assert_array_equal(to_numpy(outputs), expected, strict=True)


def test_fake_outputs_are_divided_by_the_scale(run, array, to_numpy):
    x = np.random.default_rng(1).normal(size=5000).astype(np.float32)
    found = run(fake_tensor_quant, array(x), array(np.float32(2.5)))
    outputs, scale = formula(x, 2.5, 127, -127)
    np.testing.assert_array_equal(to_numpy(found), outputs / scale, strict=True)


@pytest.mark.parametrize(
    ("options", "bottom", "top"),
    [
        ({}, -127, 127),
        ({"narrow_range": False}, -128, 127),
        ({"num_bits": 4}, -7, 7),
        ({"num_bits": 4, "narrow_range": False}, -8, 7),
        ({"unsigned": True}, 0, 255),
        ({"num_bits": 4, "unsigned": True, "narrow_range": False}, 0, 15),
    ],
)
def test_outputs_are_clipped_to_the_codes(array, to_numpy, options, bottom, top):
    x = np.float32([0, 0.3, 1, 2] if options.get("unsigned") else [-2, -1, 0.3, 2])
    outputs, scale = tensor_quant(array(x), array(np.float32(1)), **options)
    expected, _ = formula(x, 1, top, bottom)
    assert to_numpy(outputs).tolist() == expected.tolist()
    assert float(scale) == top


def test_amax_broadcasts(array, to_numpy):
    x = np.float32([[-1, 0.5], [2, 3]])
    amax = np.float32([[1], [4]])
    outputs, scale = tensor_quant(array(x), array(amax))
    expected, expected_scale = formula(x, amax, 127, -127)
    np.testing.assert_array_equal(to_numpy(outputs), expected)
    np.testing.assert_array_equal(to_numpy(scale), expected_scale)


def test_a_tiny_amax_gives_zeros_and_scale_1(run, array, to_numpy):
    amax = array(np.float32([0, 2**-25, 2**-24, 2**-23]))
    outputs, scale = run(tensor_quant, array(np.ones(4, np.float32)), amax)
    assert to_numpy(outputs).tolist() == [0, 0, 0, 127]
    assert to_numpy(scale).tolist() == [1, 1, 1, 127 * 2**23]


def test_halves_are_computed_in_float32(xp, run, array, to_numpy, float_dtype):
    x = array(np.random.default_rng(2).normal(size=500), float_dtype)
    amax = array(2.5, float_dtype)
    wide = to_numpy(x).astype(np.float32)
    outputs, scale = formula(wide, 2.5, 127, -127)
    found, found_scale = run(tensor_quant, x, amax)
    fake = run(fake_tensor_quant, x, amax)
    dtype = to_numpy(x).dtype
    assert found.dtype == found_scale.dtype == fake.dtype == getattr(xp, float_dtype)
    np.testing.assert_array_equal(to_numpy(found), outputs.astype(dtype))
    np.testing.assert_array_equal(to_numpy(fake), (outputs / scale).astype(dtype))
    assert float(found_scale) == float(scale.astype(dtype))


@pytest.mark.parametrize("function", [tensor_quant, fake_tensor_quant])
def test_a_negative_amax_is_a_value_error(array, function):
    x, amax = array(np.ones(2, np.float32)), array(np.float32([1, -1]))
    with pytest.raises(ValueError, match="`amax` must not be negative"):
        function(x, amax)


@pytest.mark.parametrize("function", [tensor_quant, fake_tensor_quant])
def test_a_negative_unsigned_input_is_a_type_error(array, function):
    x, amax = array(np.float32([1, -1])), array(np.float32(1))
    with pytest.raises(TypeError, match="`inputs` must not be negative if unsigned"):
        function(x, amax, unsigned=True)


def test_a_scale_beyond_float16_is_a_value_error(xp, array):
    amax = array(np.float32(127 / 65536))
    tensor_quant(array(np.float32([1])), amax)
    if hasattr(xp, "float16"):
        with pytest.raises(
            ValueError, match="float16 inputs, whose scale would overfl"
        ):
            tensor_quant(array([1], "float16"), amax)


def test_a_scale_that_is_not_returned_cannot_overflow(xp, run, array, to_numpy):
    if hasattr(xp, "float16"):
        amax = array(np.float32(127 / 65536))
        found = run(fake_tensor_quant, array([1, 2**-10], "float16"), amax)
        expected = np.float16([127 / 65536, 2**-10])  # 64 steps of 2**-16
        np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


def test_a_scale_within_float16_is_none(xp, array):
    if hasattr(xp, "float16"):
        _, scale = tensor_quant(array([1], "float16"), array(np.float32(127 / 65504)))
        assert float(scale) == 65504


def test_nan_stays_nan(run, array, to_numpy):
    x = array(np.float32([np.nan, 1]))
    found = run(fake_tensor_quant, x, array(np.float32(1)))
    np.testing.assert_array_equal(to_numpy(found), [np.nan, 1])


def test_amax_alone_may_be_traced():
    jax = pytest.importorskip("jax")
    x = jax.numpy.asarray(INPUTS)
    outputs, _ = jax.jit(lambda amax: tensor_quant(x, amax))(AMAX)
    assert outputs.tolist() == QUANTIZED


@pytest.mark.parametrize("function", [tensor_quant, fake_tensor_quant])
@pytest.mark.parametrize("shape", [(2, 3), (2,)])
def test_amax_must_broadcast(array, function, shape):
    x, amax = array(np.ones(3, np.float32)), array(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match="`amax` must broadcast to the shape"):
        function(x, amax)


def test_a_single_amax_of_any_rank_leaves_the_shape_alone(run, array):
    x, amax = array(np.float32(1)), array(np.ones((1, 1), np.float32))
    outputs, scale = run(tensor_quant, x, amax)
    assert outputs.shape == ()
    assert scale.shape == (1, 1)
    assert run(fake_tensor_quant, x, amax).shape == ()


def test_outputs_may_be_integers_with_nan_as_the_lowest(xp, run, array, to_numpy):
    x = array(np.float32([np.nan, -2, 0.3, 2]))
    outputs, _ = run(
        lambda x, amax: tensor_quant(x, amax, output_dtype=xp.int32),
        x,
        array(np.float32(1)),
    )
    expected = np.int32([-127, -127, 38, 127])  # 0.3 * 127 = 38.1
    np.testing.assert_array_equal(to_numpy(outputs), expected, strict=True)


def gemmlowp(x, low, high, bits):
    """Return the nearest of all the levels, worked out one by one."""
    step = (np.float32(high) - np.float32(low)) / np.float32(2**bits - 1)
    levels = (np.rint(low / step) + np.arange(2**bits, dtype=np.float32)) * step
    return levels[np.abs(x[:, None] - levels).argmin(1)]


@pytest.mark.parametrize(
    ("low", "high", "bits"), [(-1, 2, 8), (0.5, 3, 4), (-4, -1, 3)]
)
def test_affine_outputs_are_the_nearest_levels(run, array, to_numpy, low, high, bits):
    x = np.random.default_rng(3).normal(size=999, scale=3).astype(np.float32)
    low, high = np.float32(low), np.float32(high)
    found = run(
        lambda *given: fake_affine_tensor_quant(*given, num_bits=bits),
        *map(array, (x, low, high)),
    )
    np.testing.assert_array_equal(to_numpy(found), gemmlowp(x, low, high, bits))


def test_affine_ranges_broadcast(array, to_numpy):
    x = np.random.default_rng(4).normal(size=(2, 50)).astype(np.float32)
    low, high = np.float32([[-1], [0]]), np.float32([[1], [3]])
    found = to_numpy(fake_affine_tensor_quant(*map(array, (x, low, high)), num_bits=4))
    for row, *given in zip(found, x, low, high, strict=True):
        np.testing.assert_array_equal(row, gemmlowp(*given, 4), strict=True)


def test_affine_outputs_have_the_dtype_of_the_inputs(xp, run, array, float_dtype):
    low, high = array(np.float32(-1)), array(np.float32(1))
    found = run(fake_affine_tensor_quant, array([0.5], float_dtype), low, high)
    assert found.dtype == getattr(xp, float_dtype)


@pytest.mark.parametrize("high", [1, 0, np.nan])
def test_an_affine_range_that_is_none_is_a_value_error(array, high):
    x, low, high = array(np.ones(2, np.float32)), np.float32(1), np.float32(high)
    with pytest.raises(ValueError, match="`min_range` must be less than `max_range`"):
        fake_affine_tensor_quant(x, array(low), array(high))
