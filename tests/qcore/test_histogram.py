"""Counts are those of a definition in whole numbers, whatever the batches were."""

import math
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from qcore import Histogram, PerBlock, PerChannel

BINS = 24
SLOTS = 64
TINY = np.float32(2.0**-126)
LARGEST = np.finfo(np.float32).max


def definition(values, k=None, amounts=None):
    """Count one row, element by element; `amounts` are how often each counts."""
    values = np.asarray(values, np.float32).ravel()
    amounts = np.ones(len(values), np.int64) if amounts is None else amounts
    values, amounts = values[amounts > 0].tolist(), amounts[amounts > 0].tolist()
    tiny = 2.0**-126
    finite = [0 if abs(v) < tiny else v for v in values if abs(v) <= LARGEST]
    if k is None:
        amax = max(map(abs, finite), default=0)
        k = next(k for k in range(-126, 127) if amax < SLOTS * 2.0**k)
    state = {
        "counts": np.zeros((2, SLOTS), np.int64),
        "exponents": np.zeros((2, 256), np.int64),
        "k": np.int32(k),
        "min": np.float32(min(finite, default=np.inf)),
        "max": np.float32(max(finite, default=-np.inf)),
        "zeros": np.int64(0),
        "nans": np.int64(0),
        "infs": np.zeros(2, np.int64),
    }
    for v, n in zip(values, amounts, strict=True):
        if math.isnan(v):
            state["nans"] += n
        elif abs(v) > LARGEST:
            state["infs"][int(v > 0)] += n
        elif abs(v) < tiny:
            state["zeros"] += n
        else:
            slot = int(abs(v) / 2.0**k)  # exact: doubles, and a power of two
            state["counts"][int(v > 0), slot] += n
            if slot == 0:  # by the exponent field of IEEE 754
                state["exponents"][int(v > 0), np.frexp(abs(v))[1] + 126] += n
    return state


@pytest.fixture
def check(to_numpy):
    """A function that compares a state with the definition's rows."""

    def compare(found, *rows):
        for name in found.array_fields():
            expected = np.stack([row[name] for row in rows])
            values = to_numpy(getattr(found, name))
            np.testing.assert_array_equal(values, expected, name, strict=True)

    return compare


def collect(x, *more):
    return Histogram.of(x, *more, bins=BINS)


def cases():
    """Return arrays of one shape, so that each is compiled but once."""
    rng = np.random.default_rng(11)
    normal = rng.standard_normal(96).astype(np.float32)
    made = {
        "normal": normal,
        "zeros": np.zeros(96),
        "signed zeros": np.where(normal > 0, 0.0, -0.0),
        "a power of two": np.where(np.arange(96) % 7, normal / 8, 4.0),
        "a negative power of two": np.where(np.arange(96) % 7, normal / 8, -4.0),
        "just below a power of two": np.append(normal[:95], np.nextafter(4, 0)),
        "slot edges": np.arange(-48, 48) / 8,
        "one sign": np.maximum(normal, 0),
        "negative": -np.exp(normal),
        "an outlier": np.append(normal[:95] / 4096, -3.0),
        "many scales": np.sign(normal) * np.exp2(rng.uniform(-126, 127, 96)),
        "subnormals": normal * 2.0**-127,
        "smallest normal": np.append(np.zeros(95), TINY),
        "around the smallest": np.nextafter(np.sign(normal) * TINY, normal),
        "huge": normal / np.abs(normal).max() * 3e38,
        "largest": np.where(np.arange(96) % 3, normal, -LARGEST),
        "NaN": np.where(np.arange(96) % 5, normal, np.nan),
        "infinite": np.where(np.arange(96) % 5, normal, np.sign(normal) * np.inf),
        "all NaN": np.full(96, np.nan),
        "all infinite": np.where(normal > 0, np.inf, -np.inf),
        "bits": rng.integers(0, 2**32, 96, dtype=np.uint64)
        .astype(np.uint32)
        .view(np.float32),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {name: np.asarray(x).astype(np.float32) for name, x in made.items()}


CASES = cases()


@pytest.fixture
def rounded(array, to_numpy):
    """A function from values to an array of a dtype, and what that rounded them to."""

    def make(values, dtype):
        with np.errstate(all="ignore"):  # float16 overflows
            x = array(values, dtype)
            return x, to_numpy(x).astype(np.float32)

    return make


@pytest.mark.parametrize("case", CASES)
def test_counts_are_those_of_the_definition(run, rounded, check, float_dtype, case):
    x, values = rounded(CASES[case], float_dtype)
    check(run(collect, x), definition(values))


def test_float64_is_rounded_to_float32(array, check):
    edges = [2.0**-126, 2.0**-126 - 2.0**-150, 2.0**-149, 2.0**-150, 0.1, 1 / 3]
    edges += [2.0**128 - 2.0**103, float(LARGEST), 1e300, 1e-300, 5e-324]
    edges += [np.inf, np.nan, 1 + 2.0**-24, 1 + 3 * 2.0**-24]
    near = [np.nextafter(edges, to) for to in (-np.inf, np.inf)]
    x = np.concatenate([np.float64(edges), *near])
    x = np.concatenate([x, -x])
    with np.errstate(over="ignore", under="ignore"):
        expected = definition(x.astype(np.float32))
    check(collect(array(x)), expected)


@pytest.mark.parametrize("axis", [0, -2, (2, 0)])
def test_every_channel_has_its_own_grid(array, check, axis):
    x = np.stack([CASES[name] for name in ("normal", "huge", "NaN", "zeros")])
    x = x.reshape(4, 12, 8)
    found = Histogram.of(array(x), bins=BINS, granularity=PerChannel(axis))
    kept = sorted(a % 3 for a in np.atleast_1d(axis))
    moved = np.moveaxis(x, kept, range(len(kept)))
    rows = moved.reshape(np.prod(moved.shape[: len(kept)]), -1)
    check(found, *map(definition, rows))
    assert found.extents == tuple(n if a in kept else 1 for a, n in enumerate(x.shape))


def test_channels_compile(run, array, check):
    x = np.stack([CASES[name] for name in ("normal", "huge", "NaN", "zeros")])
    granularity = PerChannel(0)
    found = run(lambda x: Histogram.of(x, bins=BINS, granularity=granularity), array(x))
    check(found, *map(definition, x))


@pytest.mark.parametrize(("axis", "size"), [(0, 2), (1, 5), (-1, 9)])
def test_every_block_has_its_own_grid(array, check, axis, size):
    x = CASES["many scales"][:21].reshape(3, 7)
    found = Histogram.of(array(x), bins=BINS, granularity=PerBlock(axis, size))
    starts = range(0, x.shape[axis], size)
    blocks = [np.moveaxis(x, axis, 0)[start : start + size].T for start in starts]
    rows = [np.atleast_2d(b)[i] for i in range(len(blocks[0])) for b in blocks]
    if axis == 0:
        rows = [b[i] for b in blocks for i in range(len(blocks[0]))]
    check(found, *map(definition, rows))


@pytest.mark.parametrize(("bins", "slots"), [(2, 4), (2048, 4096), (2049, 8192)])
def test_slots_are_twice_the_next_power_of_two(array, bins, slots):
    found = Histogram.of(array(CASES["normal"]), bins=bins)
    assert found.slots == slots
    assert found.counts.shape == (1, 2, slots)


def test_one_number_is_a_batch(array, check):
    check(collect(array(np.float32(-0.75))), definition([-0.75]))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 5)])
def test_no_numbers_are_a_batch(array, check, shape):
    check(collect(array(np.zeros(shape, np.float32))), definition([]))


def test_channels_may_be_empty(array, check):
    x = array(np.zeros((2, 0), np.float32))
    found = Histogram.of(x, bins=BINS, granularity=PerChannel(0))
    check(found, definition([]), definition([]))


def test_there_may_be_no_channels(array):
    x = array(np.zeros((0, 3), np.float32))
    found = Histogram.of(x, bins=BINS, granularity=PerChannel(0))
    assert found.counts.shape == (0, 2, SLOTS)
    assert found.update(x).k.shape == (0,)


@pytest.mark.parametrize("index", [np.s_[::2, :], np.s_[:, 1::3], np.s_[2:5, 3:7]])
def test_strided_data_is_counted_in_place(array, check, index):
    x = CASES["normal"].reshape(8, 12)
    check(collect(array(x)[index]), definition(x[index]))


def test_transposed_data_is_counted_in_place(xp, array, check):
    x = CASES["normal"].reshape(8, 12)
    found = Histogram.of(
        xp.permute_dims(array(x), (1, 0)), bins=BINS, granularity=PerChannel(0)
    )
    check(found, *map(definition, x.T))


def test_read_only_data_is_counted_and_left_alone(check):
    x = CASES["NaN"].copy()
    x.flags.writeable = False
    check(collect(x), definition(x))
    np.testing.assert_array_equal(x, CASES["NaN"])


def test_data_backwards_in_memory_is_counted(check):
    check(collect(CASES["normal"][::-1]), definition(CASES["normal"]))


def test_a_numpy_scalar_is_one_number(check):
    check(collect(np.float32(3)), definition([3]))


def masked(x, mask):
    return Histogram.of(x, bins=BINS, mask=mask)


@pytest.mark.parametrize("case", ["normal", "NaN", "infinite", "many scales"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mask_keeps_where_true(run, array, check, case, share):
    mask = np.random.default_rng(12).random(96) < share
    found = run(masked, array(CASES[case]), array(mask))
    check(found, definition(CASES[case][mask]))


def test_a_mask_broadcasts(array, check):
    x = CASES["normal"].reshape(2, 4, 12)
    mask = np.array([True, False, True, False])[:, None]
    found = Histogram.of(
        array(x), bins=BINS, mask=array(mask), granularity=PerChannel(-1)
    )
    check(found, *(definition(x[:, ::2, i]) for i in range(12)))


def test_a_mask_does_not_count_the_padding_of_a_block(array, check):
    x = CASES["normal"][:14].reshape(2, 7)
    mask = array(np.ones((1, 7), bool))
    found = Histogram.of(array(x), bins=BINS, mask=mask, granularity=PerBlock(1, 4))
    check(found, *(definition(part) for row in x for part in (row[:4], row[4:])))


def test_an_update_takes_a_mask(array, check):
    mask = np.arange(96) % 2 == 0
    found = collect(array(CASES["normal"])).update(array(CASES["huge"]), array(mask))
    check(found, definition(np.append(CASES["normal"], CASES["huge"][::2])))


def weighted(x, weights):
    return Histogram.of(x, bins=BINS, weights=weights)


@pytest.mark.parametrize("case", ["normal", "NaN", "infinite", "signed zeros"])
def test_weights_count_in_whole_units(run, array, check, case):
    weights = np.random.default_rng(13).uniform(0, 3, 96).astype(np.float32)
    weights[:4] = [0, 2.0**-16, 2.5 * 2.0**-16, 3.5 * 2.0**-16]
    amounts = np.array([round(float(w) * 2**16) for w in weights])
    found = run(weighted, array(CASES[case]), array(weights))
    assert found.weighted
    check(found, definition(CASES[case], amounts=amounts))


def test_a_weight_is_2_to_the_31_at_most(array, to_numpy):
    weights = array(np.float32([2.0**31, 1e30, 1]))
    found = weighted(array(np.float32([1, -1, 0])), weights)
    assert to_numpy(found.counts).sum(axis=-1).tolist() == [[2**47, 2**47]]
    assert to_numpy(found.zeros).tolist() == [2**16]


def test_weights_broadcast_with_a_mask_and_channels(array, check):
    x = CASES["normal"].reshape(2, 4, 12)
    weights, mask = np.float32([1, 2, 0.5, 3])[:, None], np.arange(12) % 2 == 0
    found = Histogram.of(
        array(x),
        bins=BINS,
        granularity=PerChannel(0),
        mask=array(mask),
        weights=array(weights),
    )
    amounts = np.broadcast_to(weights * 2**16, (4, 6)).astype(np.int64).ravel()
    check(found, *(definition(part[:, ::2], amounts=amounts) for part in x))


def test_weighted_updates_add_up(array, check):
    x, y = CASES["normal"], CASES["huge"]
    weights = np.full(96, 0.5, np.float32)
    found = weighted(array(x), array(weights)).update(array(y), weights=array(weights))
    amounts = np.full(192, 2**15)
    check(found, definition(np.append(x, y), amounts=amounts))


ORDERS = {
    "zeros first": ["zeros", "normal"],
    "nothing but zeros": ["zeros", "signed zeros", "subnormals"],
    "growing a million times": ["normal", "x 1e6", "x 1e12"],
    "shrinking a million times": ["normal", "x 1e-6", "x 1e-12"],
    "the whole range": ["smallest normal", "largest", "around the smallest"],
    "a power of two": ["normal", "a power of two", "a negative power of two"],
    "outliers and NaN": ["NaN", "an outlier", "infinite", "all NaN", "bits"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_updates_equal_counting_all_at_once(array, check, order):
    batches = [
        np.float32(CASES["normal"] * float(name[2:]))
        if name.startswith("x ")
        else CASES[name]
        for name in ORDERS[order]
    ]
    found = collect(array(batches[0]))
    for batch in batches[1:]:
        found = found.update(array(batch))
    check(found, definition(np.concatenate(batches)))


def updated(x, y):
    return collect(x).update(y)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("case", ["zeros", "many scales", "largest", "bits"])
def test_updates_compile(run, array, check, case, order):
    x, y = [CASES["normal"], CASES[case]][::order]
    check(run(updated, array(x), array(y)), definition(np.append(x, y)))


@pytest.mark.parametrize("size", [1, 7, 96, 500])
def test_the_size_of_batches_does_not_matter(array, check, size):
    x = np.concatenate([CASES[name] for name in ("normal", "NaN", "many scales")])
    x = x[:: 12 if size == 1 else 1]
    found = collect(array(x[:0]))
    for start in range(0, len(x), size):
        found = found.update(array(x[start : start + size]))
    check(found, definition(x))


@pytest.mark.parametrize("shards", [2, 12, 64])
def test_shards_merge_in_any_order(array, check, shards):
    rng = np.random.default_rng(shards)
    x = rng.permutation(np.concatenate([CASES[name] for name in CASES]))[:1920]
    states = [collect(array(part)) for part in x.reshape(shards, -1)]
    while len(states) > 1:  # any two at a time
        one, other = (states.pop(rng.integers(len(states))) for _ in range(2))
        states.append(one.merge(other))
    check(states[0], definition(x))


FLOATS = st.lists(st.floats(width=32, allow_subnormal=False), min_size=8, max_size=8)


@given(x=FLOATS, chosen=st.integers(0, 255))
def test_the_parts_of_any_data_merge_to_the_whole(array, check, x, chosen):
    x = np.float32(x)
    mask = np.array([bool(chosen >> i & 1) for i in range(8)])
    one = Histogram.of(array(x), bins=BINS, mask=array(mask))
    other = Histogram.of(array(x), bins=BINS, mask=array(~mask))
    check(one.merge(other), definition(x))
    check(other.merge(one), definition(x))


def test_counts_go_past_what_floats_can_count(array, to_numpy):
    one = collect(array(CASES["NaN"]))
    many = one
    for _ in range(55):
        many = many.merge(many)
    many = many.merge(one).rescale(int(to_numpy(one.k)[0]) + 2)
    expected = definition(CASES["NaN"], k=int(to_numpy(one.k)[0]) + 2)
    for name in ("counts", "exponents", "zeros", "nans"):
        found = to_numpy(getattr(many, name))[0]
        np.testing.assert_array_equal(found, expected[name] * (2**55 + 1), name)


@pytest.mark.parametrize("power", [24, 31, 53])
def test_one_more_is_counted_past_a_power_of_two(array, to_numpy, power):
    one = collect(array(np.float32([0.5, 0])))
    many = one
    for _ in range(power):
        many = many.merge(many)
    many = many.merge(one)
    assert to_numpy(many.zeros).tolist() == [2**power + 1]
    assert to_numpy(many.counts).max() == 2**power + 1


def rescaled(state, k):
    return state.rescale(k)


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 6, 7, 40])
def test_rescaling_equals_counting_afresh(run, array, check, steps):
    x = CASES["many scales"][:48] / np.float32(2**60)
    k = int(definition(x)["k"]) + steps
    state = Histogram.of(array(x), bins=BINS)
    check(run(rescaled, state, array(np.int32([k]))), definition(x, k=k))
    check(state.rescale(k), definition(x, k=k))


def test_rescaling_twice_is_rescaling_once(array, check):
    x, k = CASES["an outlier"], int(definition(CASES["an outlier"])["k"])
    state = collect(array(x))
    for step in range(1, 9):
        state = state.rescale(k + step)
    check(state, definition(x, k=k + 8))


def test_a_smaller_k_is_not_gone_back_to(array, check):
    state = collect(array(CASES["normal"]))
    check(state.rescale(-100), definition(CASES["normal"]))


def test_channels_are_rescaled_each_for_itself(array, check):
    x = np.stack([CASES["normal"], CASES["huge"], CASES["zeros"]])
    state = Histogram.of(array(x), bins=BINS, granularity=PerChannel(0))
    k = np.int32([3, 0, -120])
    expected = [
        max(wanted, definition(row)["k"]) for wanted, row in zip(k, x, strict=True)
    ]
    check(state.rescale(array(k)), *map(definition, x, expected))


def test_the_width_is_a_power_of_two(array, to_numpy):
    x = np.stack([CASES["normal"], CASES["huge"], CASES["zeros"]])
    found = Histogram.of(array(x), bins=BINS, granularity=PerChannel(0))
    expected = [2.0 ** int(definition(row)["k"]) for row in x]
    np.testing.assert_array_equal(
        to_numpy(found.width), np.float64(expected), strict=True
    )


def test_lost_resolution_is_the_share_of_slot_0(array, to_numpy):
    x = np.float32([[0.01, -0.01, 0.02, 64], [1, 2, 3, 4], [0, 0, 0, 0]])
    found = Histogram.of(array(x), bins=BINS, granularity=PerChannel(0))
    assert to_numpy(found.resolution_lost).tolist() == [0.75, 0, 0]


def test_exponents_see_the_bulk_below_an_outlier(array, to_numpy):
    x = np.float32([2.0**-20, -(2.0**-20), 1.5 * 2.0**-30, 1.0])
    found = collect(array(x))
    expected = np.zeros((1, 2, 256), np.int64)
    expected[0, 1, 127 - 20] = expected[0, 0, 127 - 20] = expected[0, 1, 127 - 30] = 1
    np.testing.assert_array_equal(to_numpy(found.exponents), expected)


@pytest.mark.parametrize("bins", [1, 0, -5, 2**20 + 1, 64.0, "64"])
def test_bins_are_two_to_a_million(array, bins):
    with pytest.raises(ValueError, match="`bins` must be an integer from 2 to 1048576"):
        Histogram.of(array(CASES["normal"]), bins=bins)


def test_weights_are_for_all_updates_or_none(array):
    x, ones = array(CASES["normal"]), array(np.ones(96, np.float32))
    with pytest.raises(TypeError, match="this state began without them"):
        collect(x).update(x, weights=ones)
    with pytest.raises(TypeError, match="this state began with them"):
        weighted(x, ones).update(x)


@pytest.mark.parametrize("shape", [(95,), (2, 96), (96, 1)])
def test_weights_broadcast_to_the_data(array, shape):
    x, weights = array(CASES["normal"]), array(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match="`weights` must broadcast to the shape of"):
        weighted(x, weights)


@pytest.mark.parametrize("weight", [0.0, 2.0**-18, -1.0, np.nan, np.inf])
def test_without_a_positive_weight_a_value_is_masked(run, array, check, weight):
    weights = np.where(np.arange(96) % 3, np.float32(1), np.float32(weight))
    found = run(weighted, array(CASES["bits"]), array(weights))
    check(found, definition(CASES["bits"], amounts=(np.arange(96) % 3 > 0) * 2**16))
