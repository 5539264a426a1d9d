import numpy as np
import pytest

from qcore.similarity import Similarity


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(3, 70)).astype(np.float32)
    return wanted, wanted + rng.normal(size=(3, 70)).astype(np.float32) / 8


def expected_sqnr(wanted, got):
    wanted, got = wanted.astype(np.float64), got.astype(np.float64)
    return 20 * np.log10(np.linalg.norm(wanted) / np.linalg.norm(wanted - got))


def expected_cosine(wanted, got):
    wanted, got = wanted.ravel().astype(np.float64), got.ravel().astype(np.float64)
    return wanted @ got / np.linalg.norm(wanted) / np.linalg.norm(got)


def figures(wanted, got):
    found = Similarity.of(wanted, got)
    return found.sqnr, found.cosine


def test_figures_are_those_of_the_definitions(run, array, to_numpy, pair, float_dtype):
    arrays = [array(x, float_dtype) for x in pair]
    sqnr, cosine = map(to_numpy, run(figures, *arrays))
    held = [to_numpy(x) for x in arrays]
    np.testing.assert_allclose(sqnr, expected_sqnr(*held), rtol=1e-9)
    np.testing.assert_allclose(cosine, expected_cosine(*held), rtol=1e-9)
    assert (sqnr.dtype, cosine.dtype) == (np.float64, np.float64)


def test_parts_add_up(array, to_numpy, pair):
    parts = [Similarity.of(*(array(x[part]) for x in pair)) for part in ([0], [1, 2])]
    whole = parts[0] + parts[1]
    np.testing.assert_allclose(to_numpy(whole.sqnr), expected_sqnr(*pair), rtol=1e-9)


@pytest.mark.parametrize("values", [[0, 0], [1, 2], [np.nan, np.inf], []])
def test_what_is_equal_has_no_noise(array, to_numpy, values):
    sqnr, cosine = figures(*(array(np.float32(values)) for _ in range(2)))
    assert (float(to_numpy(sqnr)), float(to_numpy(cosine))) == (np.inf, 1)


@pytest.mark.parametrize(
    ("wanted", "got", "sqnr"), [([0, 0], [1, 2], -np.inf), ([1, 2], [0, 0], 0)]
)
def test_zeros_are_no_direction(array, to_numpy, wanted, got, sqnr):
    found = figures(array(np.float32(wanted)), array(np.float32(got)))
    assert [float(to_numpy(x)) for x in found] == [sqnr, 0]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("swapped", [False, True])
def test_nan_or_infinity_on_one_side_is_infinite_noise(array, to_numpy, wrong, swapped):
    sides = [array(np.float32([1, 2])), array(np.float32([1, wrong]))]
    sqnr, cosine = figures(*(sides[::-1] if swapped else sides))
    assert to_numpy(sqnr) == -np.inf
    assert np.isnan(to_numpy(cosine))


def test_large_values_do_not_overflow(array, to_numpy):
    largest = np.finfo(np.float32).max
    sqnr, cosine = figures(array(np.float32([largest])), array(np.float32([-largest])))
    np.testing.assert_allclose(to_numpy(sqnr), -20 * np.log10(2))
    assert to_numpy(cosine) == -1


def test_shapes_must_be_equal(array):
    with pytest.raises(ValueError, match=r"`got` must have shape \(2,\); got \(1,\)\."):
        Similarity.of(array(np.ones(2, np.float32)), array(np.ones(1, np.float32)))


def test_integers_are_refused(array):
    with pytest.raises(TypeError, match="`got` must be floating-point"):
        Similarity.of(array(np.ones(2, np.float32)), array(np.ones(2, np.int32)))
