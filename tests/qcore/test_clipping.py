import numpy as np
import pytest

from qcore.clipping import clip, gradient_within, gradients_of_clip


def test_data_is_limited_by_bounds_that_broadcast(run, array, to_numpy, float_dtype):
    x = array(np.random.default_rng(6).normal(size=(4, 3)), float_dtype)
    low, high = np.float32(-0.5), np.float32([[0.1, 0.25, 1]])
    wide, dtype = to_numpy(x).astype(np.float32), to_numpy(x).dtype
    found = to_numpy(run(clip, x, array(low), array(high)))
    expected = np.clip(wide, low, high).astype(dtype)
    np.testing.assert_array_equal(found, expected, strict=True)


def test_the_lower_bound_wins_and_nan_stays(run, array, to_numpy):
    x, low, high = np.float32([0, 3, np.nan]), np.float32(2), np.float32(1)
    found = to_numpy(run(clip, *map(array, (x, low, high))))
    np.testing.assert_array_equal(found, [2, 2, np.nan])


def test_a_single_bound_of_any_rank_leaves_the_shape_alone(run, array):
    bound = array(np.ones((1, 1), np.float32))
    assert run(clip, array(np.float32(2)), bound, bound).shape == ()


def test_a_bound_must_broadcast_to_the_data(array):
    x, one = array(np.ones((1, 3), np.float32)), array(np.float32(1))
    with pytest.raises(ValueError, match="`high` must broadcast to the shape"):
        clip(x, one, array(np.ones((2, 1), np.float32)))


def test_a_gradient_passes_within_the_ends_inclusive(run, array, to_numpy, float_dtype):
    x = array([-2, -1, 0, 1, 1.5, np.nan], float_dtype)
    g = array(np.arange(1, 7), float_dtype)
    found = run(gradient_within, g, x, array(np.float32(-1)), array(np.float32(1)))
    expected = np.asarray([0, 2, 3, 4, 0, 0], to_numpy(g).dtype)
    np.testing.assert_array_equal(to_numpy(found), expected, strict=True)


def test_a_clip_shares_its_gradient_out_and_gives_ties_to_bounds(run, array, to_numpy):
    x = array(np.float32([[-2, -1, 0], [1, 2, 3]]))
    g = array(np.float32([[1, 2, 3], [4, 5, 6]]))
    low, high = array(np.float32(-1)), array(np.float32([[1], [2]]))
    parts = [
        to_numpy(part).tolist() for part in run(gradients_of_clip, g, x, low, high)
    ]
    assert parts == [
        [[0, 0, 3], [4, 0, 0]],
        [[1, 2, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 5, 6]],
    ]
