"""What all statistics share: merging, moving, refusing."""

import pickle
from dataclasses import FrozenInstanceError
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from qcore import Histogram, Moments, MovingRange, PerBlock, PerChannel, Range, Top2
from qcore.statistics.base import Statistics
from tests.qcore.batches import X, Y

KINDS = [Range, Histogram, Moments, Top2]
NAMESPACES = {
    "numpy": "numpy",
    "torch": "torch",
    "jax": "jax.numpy",
    "array_api_strict": "array_api_strict",
}


@pytest.mark.parametrize("kind", KINDS)
def test_merging_is_commutative(array, same, kind):
    one, other = kind.of(array(X)), kind.of(array(Y))
    same(one.merge(other), other.merge(one))


@pytest.mark.parametrize("kind", KINDS)
def test_merging_is_associative(array, same, kind):
    one, two, three = (kind.of(array(x)) for x in (X, Y, X * np.float32(1e-5)))
    same(one.merge(two).merge(three), one.merge(two.merge(three)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_of_no_values_changes_nothing(array, same, kind):
    state, empty = kind.of(array(X)), kind.of(array(X[:, :0]))
    same(state.merge(empty), state)
    same(empty.merge(state), state)


@pytest.mark.parametrize("kind", [*KINDS, MovingRange])
def test_an_update_returns_a_new_state(array, same, kind):
    state = kind.of(array(X))
    state.update(array(Y))
    same(state, kind.of(array(X)))
    with pytest.raises(FrozenInstanceError):
        state.min = state.max


@pytest.mark.parametrize("kind", [*KINDS, MovingRange])
def test_leaves_are_arrays_of_the_library(xp, run, array, kind):
    state = run(kind.of, array(X)).update(array(Y))
    dtypes = {"min": xp.float32, "max": xp.float32, "k": xp.int32}
    for name in state.array_fields():
        leaf = getattr(state, name)
        assert type(leaf) is type(array(X))
        assert leaf.dtype == dtypes.get(name, xp.int64)


@pytest.mark.parametrize("kind", [*KINDS, MovingRange])
@pytest.mark.parametrize("other", [name for name in NAMESPACES if find_spec(name)])
def test_a_state_moves_to_another_library(array, same, kind, other):
    state = kind.of(array(X), granularity=PerChannel(0))
    target = import_module(NAMESPACES[other])
    moved = state.to(target)
    same(moved, state)
    assert type(moved.min) is type(target.asarray(X))
    same(moved.update(target.asarray(Y)), state.update(array(Y)))


@pytest.mark.parametrize("kind", [*KINDS, MovingRange])
def test_a_state_moves_to_a_device(kind):
    strict = pytest.importorskip("array_api_strict")
    device = strict.Device("device1")
    moved = kind.of(X).to(strict, device)
    assert {getattr(moved, name).device for name in moved.array_fields()} == {device}


def alternatives(kind, array):
    """Return states that differ in one respect, and what that is called."""
    x = array(X)
    other = Histogram if kind is Range else Range
    states = [
        (other.of(x), "class"),
        (kind.of(x, granularity=PerChannel(0)), "granularity"),
    ]
    if kind is Top2:
        states += [(kind.of(x, axis=0), "axis"), (kind.of(x, format="int4"), "qmax")]
    else:
        states += [(kind.of(x, granularity=PerBlock(0, 1)), "granularity")]
    if kind is Moments:
        states += [(kind.of(x, order=1), "order")]
    if kind is Histogram:
        states += [
            (kind.of(x, bins=2047), "bins"),
            (kind.of(x, weights=array(np.ones_like(X))), "weighted"),
        ]
    return states


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_merge_names_the_difference(array, kind):
    for other, what in alternatives(kind, array):
        with pytest.raises(ValueError, match=f"must share their {what}; got"):
            kind.of(array(X)).merge(other)


@pytest.mark.parametrize("kind", KINDS)
def test_states_of_other_extents_do_not_merge(array, kind):
    one = kind.of(array(X), granularity=PerChannel(0))
    other = kind.of(array(X[:1]), granularity=PerChannel(0))
    said = r"must share their extents; got \(2, 1\) and \(1, 1\)"
    with pytest.raises(ValueError, match=said):
        one.merge(other)
    with pytest.raises(ValueError, match=said):
        one.update(array(X[:1]))


@pytest.mark.parametrize("kind", KINDS)
def test_states_of_other_libraries_do_not_merge(xp, array, kind):
    if xp.__name__.endswith("numpy") and not xp.__name__.startswith("jax"):
        other = kind.of(pytest.importorskip("array_api_strict").asarray(X))
    else:
        other = kind.of(X)
    with pytest.raises(ValueError, match="must share their library; got"):
        kind.of(array(X)).merge(other)


@pytest.mark.parametrize("kind", KINDS)
def test_states_on_other_devices_do_not_merge(kind):
    strict = pytest.importorskip("array_api_strict")
    one, other = (
        kind.of(strict.asarray(X, device=strict.Device(name)))
        for name in ("CPU_DEVICE", "device1")
    )
    with pytest.raises(ValueError, match="must share their device; got"):
        one.merge(other)


@pytest.mark.parametrize("kind", KINDS)
def test_only_statistics_merge(array, kind):
    with pytest.raises(TypeError, match="`other` must be statistics; got ndarray"):
        kind.of(array(X)).merge(X)


@pytest.mark.parametrize("kind", [*KINDS, MovingRange])
@pytest.mark.parametrize("dtype", ["bool", "int8", "int64", "uint8", "complex64"])
def test_data_is_floating_point(array, kind, dtype):
    with pytest.raises(TypeError, match=f"data must be floating-point .*; got {dtype}"):
        kind.of(array([1, 0], dtype))


@pytest.mark.parametrize("kind", [*KINDS, MovingRange])
@pytest.mark.parametrize("x", [[1.0], 1.0, None])
def test_what_is_no_array_is_refused(kind, x):
    with pytest.raises(TypeError, match=r"`x` must be an array of numpy, torch, jax"):
        kind.of(x)


@pytest.mark.parametrize("kind", [*KINDS, MovingRange])
def test_a_mask_is_boolean(array, kind):
    with pytest.raises(TypeError, match="`mask` must be boolean; got int8"):
        kind.of(array(X), mask=array(np.ones_like(X), "int8"))


@pytest.mark.parametrize("kind", [*KINDS, MovingRange])
@pytest.mark.parametrize("shape", [(3,), (4, 2), (1, 2, 4)])
def test_a_mask_broadcasts_to_the_data(array, kind, shape):
    with pytest.raises(ValueError, match="`mask` must broadcast to the shape of the"):
        kind.of(array(X), mask=array(np.ones(shape, bool)))


@pytest.mark.parametrize("kind", [*KINDS, MovingRange])
def test_an_axis_that_does_not_exist_is_refused(array, kind):
    with pytest.raises(ValueError, match=r"axis 2 must lie in \[-2, 2\)"):
        kind.of(array(X), granularity=PerChannel(2))


@pytest.mark.parametrize("kind", [Range, Histogram])
def test_per_tensor_the_rank_may_change(array, same, kind):
    found = kind.of(array(X)).update(array(Y[0])).update(array(Y[1, :, None]))
    same(found, kind.of(array(np.concatenate([X, Y]))))


def test_every_statistic_says_which_fields_add():
    for kind in (*KINDS, MovingRange):
        assert issubclass(kind, Statistics)
        assert set(kind.counted) <= set(kind.array_fields())


def test_a_state_survives_pickling_on_its_library(array, same):
    state = Histogram.of(array(np.float32([1, -2, 0, 5])))
    for _ in range(40):  # counts that 32 bits do not hold
        state = state.merge(state)
    again = pickle.loads(pickle.dumps(state))
    same(again, state)
    assert type(again.counts) is type(state.counts)


def test_a_granularity_by_name_is_a_type_error(array):
    with pytest.raises(TypeError, match="`granularity` must be PerTensor"):
        Histogram.of(array(np.float32([1])), granularity="PerTensor")
