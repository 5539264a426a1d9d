import numpy as np
import pytest

from qcore.recovery import round_bias


def test_biases_become_multiples_of_the_scale(run, array, to_numpy):
    bias = np.float32([0.3, -0.71, 0.125, 0.0, -0.0, 7.0])
    scale = np.float32([0.25, 0.25, 0.25, 0.25, 0.25, 0.01])
    found = to_numpy(run(round_bias, array(bias), array(scale)))
    expected = np.round(bias.astype(np.float64) / scale) * scale
    np.testing.assert_array_equal(found, expected.astype(np.float32), strict=True)


def test_a_bias_beyond_32_bits_saturates(array, to_numpy):
    found = round_bias(array(np.float32([1e12, -1e12])), array(np.float32(2.0**-10)))
    np.testing.assert_array_equal(to_numpy(found), np.float32([2**21, -(2**21)]))


def test_the_dtype_is_that_of_the_bias(array, to_numpy, float_dtype):
    found = round_bias(
        array(np.float32([0.3, 0.6]), float_dtype), array(np.float32(0.5))
    )
    assert found.dtype == array(np.float32([0.0]), float_dtype).dtype
    np.testing.assert_array_equal(to_numpy(found).astype(np.float32), [0.5, 0.5])


def test_scales_of_another_length_are_refused(array):
    with pytest.raises(ValueError, match=r"`scale` must broadcast.*\(3,\) and \(2,\)"):
        round_bias(array(np.ones(2, np.float32)), array(np.ones(3, np.float32)))


def test_integer_biases_are_refused(array):
    with pytest.raises(TypeError, match="`bias` must be floating-point"):
        round_bias(array(np.ones(2, np.int32)), array(np.ones(2, np.float32)))
