import numpy as np
import pytest

from qcore import MovingRange, PerBlock, PerChannel, Range

TINY = np.float32(2.0**-126)
NORMAL = np.random.default_rng(3).standard_normal(48).astype(np.float32)
CASES = {
    "normal": NORMAL,
    "positive": np.abs(NORMAL),
    "negative": -np.abs(NORMAL),
    "zeros": np.where(NORMAL > 0, 0.0, -0.0),
    "subnormal": NORMAL * np.float32(2.0**-128),
    "smallest": np.where(NORMAL > 0, TINY, np.nextafter(TINY, np.float32(0))),
    "huge": np.where(NORMAL > 0, np.finfo(np.float32).max, -3e38),
    "NaN": np.where(NORMAL > 0, NORMAL, np.nan),
    "infinite": np.where(NORMAL > 1, np.inf, np.where(NORMAL < -1, -np.inf, NORMAL)),
    "all NaN": np.full(48, np.nan),
    "all infinite": np.where(NORMAL > 0, np.inf, -np.inf),
}
CASES = {name: x.astype(np.float32) for name, x in CASES.items()}


def collect(x, mask=None):
    return Range.of(x, mask=mask)


def definition(values):
    """Return the fields of one row; magnitudes below the smallest normal are zero."""
    values = np.asarray(values).astype(np.float32).ravel()
    finite = values[np.isfinite(values)]
    finite = np.where(np.abs(finite) < TINY, np.float32(0), finite)
    return {
        "min": np.float32(min(finite, default=np.inf)),
        "max": np.float32(max(finite, default=-np.inf)),
        "nans": np.isnan(values).sum(),
        "infs": np.array([(values == -np.inf).sum(), (values == np.inf).sum()]),
        "count": np.int64(len(finite)),
    }


@pytest.mark.parametrize("case", CASES)
def test_a_range_is_that_of_the_finite_values(
    run, array, to_numpy, check, float_dtype, case
):
    with np.errstate(all="ignore"):  # float16 overflows
        x = array(CASES[case], float_dtype)
    values = to_numpy(x).astype(np.float32)
    check(run(collect, x), definition(values))


def test_float64_is_rounded_to_float32(array, check):
    x = np.float64([0.1, -1 / 3, 1e300, -1e300, 1e-300, 2.0**128 - 2.0**103])
    with np.errstate(over="ignore"):
        expected = definition(x.astype(np.float32))
    check(Range.of(array(x)), expected)


@pytest.mark.parametrize("case", ["normal", "NaN"])
def test_every_channel_has_its_own_range(array, check, case):
    x = CASES[case].reshape(4, 3, 4)
    found = Range.of(array(x), granularity=PerChannel(1))
    assert found.extents == (1, 3, 1)
    check(found, *(definition(x[:, i]) for i in range(3)))


def test_padding_of_a_block_is_not_in_its_range(array, check):
    x = np.abs(CASES["normal"][:14].reshape(2, 7)) + 1
    found = Range.of(array(x), granularity=PerBlock(1, 4))
    check(found, *(definition(part) for row in x for part in (row[:4], row[4:])))


def test_a_mask_keeps_where_true(run, array, check):
    mask = CASES["normal"] > 0.3
    found = run(collect, array(CASES["NaN"]), array(mask))
    check(found, definition(CASES["NaN"][mask]))


def test_an_update_sees_all_values(array, check):
    found = Range.of(array(CASES["zeros"]))
    for case in ("NaN", "infinite", "subnormal", "normal"):
        found = found.update(array(CASES[case]))
    names = ("zeros", "NaN", "infinite", "subnormal", "normal")
    check(found, definition(np.concatenate([CASES[name] for name in names])))


def test_an_update_takes_a_mask(array, check):
    mask = np.arange(48) % 2 == 0
    found = Range.of(array(CASES["normal"])).update(array(CASES["huge"]), array(mask))
    check(found, definition(np.append(CASES["normal"], CASES["huge"][mask])))


def test_shards_merge_in_any_order(array, check):
    rng = np.random.default_rng(4)
    x = rng.permutation(np.concatenate(list(CASES.values())))
    states = [Range.of(array(part)) for part in x.reshape(16, -1)]
    while len(states) > 1:
        one, other = (states.pop(rng.integers(len(states))) for _ in range(2))
        states.append(one.merge(other))
    check(states[0], definition(x))


def moving(values, constant):
    """Return the ends of a moving range: doubles, each step rounded to float32."""
    low = high = None
    for batch in values:
        finite = batch[np.isfinite(batch)].astype(np.float64)
        if not len(finite):
            continue
        if low is None:
            low, high = finite.min(), finite.max()
        low = float(np.float32(low + constant * (finite.min() - low)))
        high = float(np.float32(high + constant * (finite.max() - high)))
    return low, high


@pytest.mark.parametrize("constant", [0.01, 1.0])
def test_a_moving_range_moves_by_a_share_of_each_batch(run, array, constant):
    batches = np.random.default_rng(5).standard_normal((6, 8)).astype(np.float32)
    batches[2] = 0
    batches[3, 4:] = np.nan, np.inf, -np.inf, 1e30

    def fold(first, *more):
        state = MovingRange.of(first, averaging_constant=constant)
        for batch in more:
            state = state.update(batch)
        return state

    found = run(fold, *map(array, batches))
    assert (float(found.min[0]), float(found.max[0])) == moving(batches, constant)


def test_halving_the_distance_is_exact(array, to_numpy):
    state = MovingRange.of(array(np.float32([-1, 4])), averaging_constant=0.5)
    state = state.update(array(np.float32([-3, 8])))
    assert (to_numpy(state.min).tolist(), to_numpy(state.max).tolist()) == ([-2], [6])


@pytest.mark.parametrize("nothing", [[], [np.nan, np.nan], [np.inf, -np.inf]])
def test_a_batch_without_finite_values_does_not_move_it(array, to_numpy, nothing):
    values = np.float32([-1, 4])
    nothing = array(np.float32(nothing))
    before = MovingRange.of(nothing).update(array(values))
    after = MovingRange.of(array(values)).update(nothing)
    for state in (before, after):
        assert to_numpy(state.min).tolist() == [-1]
        assert to_numpy(state.max).tolist() == [4]
        assert to_numpy(state.count).tolist() == [2]


def test_a_moving_range_counts_what_it_has_seen(array, to_numpy):
    state = MovingRange.of(array(np.float32([1, np.nan]))).update(
        array(np.float32([2, 3, np.inf, -np.inf, -np.inf, np.nan]))
    )
    found = [to_numpy(getattr(state, n)).tolist() for n in ("count", "nans", "infs")]
    assert found == [[3], [2], [[2, 1]]]


def test_channels_move_each_for_themselves(array, to_numpy):
    x, y = np.float32([[0, 2], [np.nan, np.nan]]), np.float32([[0, 4], [-1, 1]])
    state = MovingRange.of(
        array(x), granularity=PerChannel(0), averaging_constant=0.5
    ).update(array(y))
    assert to_numpy(state.max).tolist() == [3, 1]
    assert to_numpy(state.min).tolist() == [0, -1]


def test_the_order_of_batches_matters(array):
    x, y = array(np.float32([1])), array(np.float32([2]))
    one = MovingRange.of(x).update(y)
    other = MovingRange.of(y).update(x)
    assert float(one.max[0]) != float(other.max[0])


def test_a_moving_range_refuses_to_merge(array):
    state = MovingRange.of(array(CASES["normal"]))
    with pytest.raises(TypeError, match=r"MovingRange must see its batches in order"):
        state.merge(state)


@pytest.mark.parametrize("constant", [0.0, -0.1, 1.1, np.nan])
def test_the_constant_is_a_share(array, constant):
    with pytest.raises(ValueError, match=r"`averaging_constant` must lie in \(0, 1\]"):
        MovingRange.of(array(CASES["normal"]), averaging_constant=constant)


def test_batches_keep_the_extents(array):
    x = array(CASES["normal"].reshape(4, 12))
    state = MovingRange.of(x, granularity=PerChannel(0))
    with pytest.raises(ValueError, match=r"extents \(4, 1\); got \(3, 1\)"):
        state.update(x[:3, :])
