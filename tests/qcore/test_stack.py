import numpy as np
import pytest

from qcore import Histogram, PerChannel, Range, stack, unstack

BINS = 24


@pytest.fixture
def tensors():
    rng = np.random.default_rng(6)
    shapes = [(5,), (3, 4), (2, 3, 2), ()]
    return [
        np.asarray(rng.normal(size=s) * 10**i, np.float32) for i, s in enumerate(shapes)
    ]


@pytest.fixture
def states(array, tensors):
    granularities = [
        {},
        {"granularity": PerChannel(0)},
        {"granularity": PerChannel((0, 1))},
        {},
    ]
    return [
        Histogram.of(array(x), bins=BINS, **options)
        for x, options in zip(tensors, granularities, strict=True)
    ]


def test_entries_stand_side_by_side(array, to_numpy, tensors, states):
    found = stack(states)
    rows = [tensors[0], *tensors[1], *tensors[2].reshape(6, 2), tensors[3]]
    assert found.channels == len(rows) == 11
    assert (found.granularity, found.extents) == (PerChannel(0), (11,))
    for i, row in enumerate(rows):
        alone = Histogram.of(array(row), bins=BINS)
        for name in alone.array_fields():
            entry = to_numpy(getattr(found, name))[i]
            np.testing.assert_array_equal(entry, to_numpy(getattr(alone, name))[0])


def test_what_was_stacked_is_unstacked(states, same):
    for found, expected in zip(unstack(stack(states), states), states, strict=True):
        same(found, expected)


def test_stacked_states_merge_like_their_parts(states, same):
    twice = stack(states).merge(stack(states))
    for found, part in zip(unstack(twice, states), states, strict=True):
        same(found, part.merge(part))


def test_one_state_is_a_stack(array, same):
    state = Range.of(array(np.float32([1, 2])))
    (found,) = unstack(stack([state]), [state])
    same(found, state)


def test_stacking_compiles(run, states, same):
    for found, expected in zip(
        run(lambda parts: unstack(stack(parts), parts), states), states, strict=True
    ):
        same(found, expected)


def test_a_stack_is_of_something():
    with pytest.raises(ValueError, match="`parts` must hold at least one state"):
        stack([])


def test_parts_are_of_one_class_and_resolution(array):
    x = array(np.float32([1]))
    with pytest.raises(ValueError, match="must share their bins; got"):
        stack([Histogram.of(x, bins=16), Histogram.of(x, bins=32)])
    with pytest.raises(ValueError, match="must share their class; got"):
        stack([Histogram.of(x), Range.of(x)])


def test_parts_have_as_many_entries_as_the_stack(states):
    with pytest.raises(ValueError, match=r"`parts` must have 11 entries .*; got 10"):
        unstack(stack(states), states[:-1])
