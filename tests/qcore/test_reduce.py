import numpy as np
import pytest

from qcore import PerBlock, reduce_amax, reduce_range
from qcore.reduce import row_range

AXES = [None, 0, -1, (0, 2), (-1, 1), (0, 1, 2)]


@pytest.fixture
def values():
    return np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axis", AXES)
def test_amax_is_the_largest_magnitude(array, to_numpy, values, axis, keepdims):
    found = reduce_amax(array(values), axis=axis, keepdims=keepdims)
    expected = np.max(np.abs(values), axis=axis, keepdims=keepdims)
    np.testing.assert_array_equal(to_numpy(found), expected)


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axis", AXES)
def test_range_is_the_smallest_and_the_largest(array, to_numpy, values, axis, keepdims):
    low, high = reduce_range(array(values), axis=axis, keepdims=keepdims)
    np.testing.assert_array_equal(to_numpy(low), values.min(axis, keepdims=keepdims))
    np.testing.assert_array_equal(to_numpy(high), values.max(axis, keepdims=keepdims))


def test_reducing_no_axis_leaves_the_magnitudes(array, to_numpy, values):
    found = reduce_amax(array(values), axis=())
    np.testing.assert_array_equal(to_numpy(found), np.abs(values))


def test_the_dtype_is_that_of_the_data(xp, run, array, to_numpy, float_dtype):
    found = run(reduce_amax, array([-3, 2], float_dtype))
    assert found.dtype == getattr(xp, float_dtype)
    assert to_numpy(found).tolist() == [3]


def test_nan_gives_nan(run, array, to_numpy):
    found = run(reduce_amax, array(np.float32([1, np.nan, 3])))
    assert np.isnan(to_numpy(found)).all()


def test_infinity_is_a_magnitude(array, to_numpy):
    assert to_numpy(reduce_amax(array(np.float32([1, -np.inf])))).tolist() == [np.inf]


def test_nothing_to_reduce_gives_zero(array, to_numpy):
    found = reduce_amax(array(np.zeros((2, 0), np.float32)), axis=1)
    np.testing.assert_array_equal(to_numpy(found), np.zeros((2, 1)))


def test_a_0_d_array_is_its_own_range(array):
    low, high = reduce_range(array(np.float32(-2)))
    assert low.shape == high.shape == ()
    assert (float(low), float(high)) == (-2, -2)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8])
def test_the_range_of_a_ragged_block_is_that_of_its_slice(xp, array, to_numpy, size):
    values = 1 + np.random.default_rng(2).random((3, 7), np.float32)
    low, high = row_range(array(values), PerBlock(1, size), xp=xp)
    slices = [values[:, i : i + size] for i in range(0, 7, size)]
    for found, of in ((low, np.min), (high, np.max)):
        expected = np.stack([of(part, axis=1) for part in slices], axis=1)
        np.testing.assert_array_equal(to_numpy(found), expected)


def test_an_axis_that_does_not_exist_is_refused(array, values):
    with pytest.raises(ValueError, match=r"must lie in \[-3, 3\)"):
        reduce_amax(array(values), axis=3)


def test_an_axis_named_twice_is_refused(array, values):
    with pytest.raises(ValueError, match="axes must differ"):
        reduce_range(array(values), axis=(0, -3))


def test_a_list_is_no_array():
    with pytest.raises(TypeError, match=r"`x` must be an array of .*; got list"):
        reduce_amax([1.0, 2.0])
