from fractions import Fraction

import numpy as np
import pytest

from qcore import Moments, PerBlock, PerChannel
from qcore.statistics.fixed_point import BITS, LOWEST

RNG = np.random.default_rng(8)
WIDE = RNG.standard_normal(60) * 2.0 ** RNG.integers(-126, 127, 60)
CASES = {
    "normal": RNG.standard_normal(60),
    "of all magnitudes": WIDE,
    "huge": np.full(60, np.finfo(np.float32).max),
    "small": np.full(60, -(2.0**-126) * (1 + 2.0**-23)),
    "cancelling": np.concatenate([WIDE[:30], -WIDE[:30]]),
    "subnormal": np.full(60, 2.0**-130),
    "zeros": np.zeros(60),
    "not finite": np.where(RNG.random(60) < 0.3, np.nan, np.inf),
}
CASES = {name: x.astype(np.float32) for name, x in CASES.items()}


def terms(x):
    """Return what counts, as exact numbers."""
    return [
        Fraction(float(v)) for v in x.ravel() if np.isfinite(v) and abs(v) >= 2.0**-126
    ]


def exact(limbs):
    """Return the number that limbs stand for."""
    whole = sum(int(limb) << (BITS * i) for i, limb in enumerate(limbs))
    return Fraction(whole, 2**-LOWEST)


@pytest.mark.parametrize("case", CASES)
def test_sums_are_exact(run, array, to_numpy, case):
    state = run(Moments.of, array(CASES[case]))
    for power in (1, 2):
        limbs = to_numpy(state.sums)[0, power - 1]
        assert exact(limbs) == sum(v**power for v in terms(CASES[case]))
        assert (limbs[:-1] >= 0).all()
        assert (limbs[:-1] < 2**31).all()


@pytest.mark.parametrize("case", CASES)
def test_means_are_right_to_the_last_bits(run, array, to_numpy, case):
    state, values = run(Moments.of, array(CASES[case])), terms(CASES[case])
    n = max(int(np.isfinite(CASES[case]).sum()), 1)
    for power, found in ((1, state.mean), (2, state.mean_square)):
        expected = float(sum(v**power for v in values) / n)
        np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-15)
        assert to_numpy(found).dtype == np.float64


def test_batches_in_any_order_have_the_same_sums(array, same):
    x = CASES["of all magnitudes"]
    whole = Moments.of(array(x))
    parts = [array(x[a::6]) for a in (3, 0, 5, 1, 2, 4)]
    state = Moments.of(parts[0])
    for part in parts[1:]:
        state = state.update(part)
    same(state, whole)


def test_each_channel_has_its_mean(array, to_numpy):
    x = CASES["normal"].reshape(3, 4, 5)
    found = Moments.of(array(x), granularity=PerChannel(1), order=1).mean
    expected = x.astype(np.float64).mean(axis=(0, 2), keepdims=True)
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-14)


def test_padding_of_blocks_and_masked_values_do_not_count(array, to_numpy):
    x = CASES["normal"][:7]
    mask = np.array([1, 1, 0, 1, 1, 1, 0], bool)
    found = Moments.of(array(x), granularity=PerBlock(0, 4), mask=array(mask))
    expected = [x[[0, 1, 3]].mean(dtype=np.float64), x[[4, 5]].mean(dtype=np.float64)]
    np.testing.assert_allclose(to_numpy(found.mean), expected, rtol=1e-14)


def test_another_order_is_refused(array):
    with pytest.raises(ValueError, match="`order` must be 1 or 2; got 3"):
        Moments.of(array(CASES["normal"]), order=3)


def test_without_squares_there_is_no_mean_square(array):
    state = Moments.of(array(CASES["normal"]), order=1)
    with pytest.raises(ValueError, match="needs Moments of order 2; got order 1"):
        _ = state.mean_square


def test_no_channels_have_no_means(array, to_numpy):
    x = array(np.zeros((3, 0), np.float32))
    assert to_numpy(Moments.of(x, granularity=PerChannel(1)).mean).shape == (1, 0)
