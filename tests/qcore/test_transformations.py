"""Statistics inside of loops, maps, gradients and trees of the frameworks."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from qcore import (
    Histogram,
    Moments,
    MovingRange,
    PerChannel,
    QParams,
    QuantSpec,
    Range,
    Top2,
)
from tests.qcore.batches import X, Y

KINDS = [Range, Histogram, Moments, Top2]


@pytest.mark.parametrize("kind", KINDS)
def test_jax_folds_states_in_a_scan(same, kind):
    jax = pytest.importorskip("jax")
    batches = jax.numpy.asarray(np.stack([X, Y, X / 3]))

    @jax.jit
    def fold(batches):
        first = kind.of(batches[0])
        return jax.lax.scan(lambda s, x: (s.update(x), None), first, batches[1:])[0]

    assert not jax.config.jax_enable_x64
    same(fold(batches), kind.of(np.concatenate([X, Y, X / 3])))


@pytest.mark.parametrize("kind", KINDS)
def test_jax_maps_over_states(same, kind):
    jax = pytest.importorskip("jax")
    states = jax.jit(jax.vmap(kind.of))(jax.numpy.asarray(np.stack([X, Y])))
    for i, x in enumerate((X, Y)):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], states)
        same(one, kind.of(x))


def test_jax_chooses_between_states(same):
    jax = pytest.importorskip("jax")

    @jax.jit
    def f(state, x, wanted):
        return jax.lax.cond(wanted, lambda: state.update(x), lambda: state)

    state = Histogram.of(jax.numpy.asarray(X))
    same(f(state, Y, True), Histogram.of(X).update(Y))
    same(f(state, Y, False), Histogram.of(X))


def test_jax_replicas_sync_by_a_maximum_and_a_sum(same):
    jax = pytest.importorskip("jax")

    def sync(x):
        state = Histogram.of(x)
        state = state.rescale(jax.lax.pmax(state.k, "replica"))
        sums = {n: jax.lax.psum(getattr(state, n), "replica") for n in state.counted}
        low, high = (
            jax.lax.pmin(state.min, "replica"),
            jax.lax.pmax(state.max, "replica"),
        )
        return replace(state, **sums, min=low, max=high)

    both = jax.numpy.asarray(np.stack([X, Y]))
    synced = jax.jit(jax.vmap(sync, axis_name="replica"))(both)
    for i in range(2):
        one = jax.tree.map(lambda leaf, i=i: leaf[i], synced)
        same(one, Histogram.of(X).merge(Histogram.of(Y)))


def test_jax_differentiates_beside_statistics(same):
    jax = pytest.importorskip("jax")

    def f(x):
        return jax.numpy.sum(x * x), Histogram.of(x)

    x = np.float32([1, -2, 3])
    gradient, state = jax.jit(jax.grad(f, has_aux=True))(x)
    np.testing.assert_array_equal(gradient, 2 * x)
    same(state, Histogram.of(x))


def test_torch_keeps_no_graph():
    torch = pytest.importorskip("torch")
    x = torch.ones(3, requires_grad=True)
    for kind in (*KINDS, MovingRange):
        state = kind.of(x * 2).update(x * 3)
        assert not any(getattr(state, n).requires_grad for n in state.array_fields())


# Under vmap its own searchsorted is given the batch in another order of axes.
@pytest.mark.filterwarnings("ignore:torch.searchsorted:UserWarning")
def test_torch_maps_over_states(same):
    torch = pytest.importorskip("torch")
    batches = torch.asarray(np.stack([X, Y]))
    states = torch.vmap(Histogram.of)(batches)
    for i, x in enumerate((X, Y)):
        parts = {n: getattr(states, n)[i] for n in states.array_fields()}
        same(replace(states, **parts), Histogram.of(x))


def test_states_are_trees_of_torch():
    torch = pytest.importorskip("torch")
    tree = import_module("torch.utils._pytree")
    for state, arrays, constants in trees(torch):
        leaves, form = tree.tree_flatten(state)
        assert [id(leaf) for leaf in leaves] == [id(leaf) for leaf in arrays]
        again = tree.tree_unflatten(leaves, form)
        assert [getattr(again, name) for name in constants] == list(constants.values())


def test_states_are_trees_of_jax():
    jax = pytest.importorskip("jax")
    for state, arrays, constants in trees(jax.numpy):
        leaves, form = jax.tree.flatten(state)
        assert [id(leaf) for leaf in leaves] == [id(leaf) for leaf in arrays]
        again = jax.tree.unflatten(form, leaves)
        assert [getattr(again, name) for name in constants] == list(constants.values())


def trees(xp):
    """Yield states, their arrays in order, and what else they hold."""
    x, kept = xp.asarray(X), {"granularity": PerChannel(0), "extents": (2, 1)}
    one = Range.of(x, granularity=PerChannel(0))
    yield one, [one.min, one.max, one.nans, one.infs, one.count], kept
    one = Histogram.of(x, bins=16, granularity=PerChannel(0))
    arrays = [one.min, one.max, one.nans, one.infs]
    arrays += [one.counts, one.exponents, one.k, one.zeros]
    yield one, arrays, {**kept, "bins": 16, "weighted": False}
    one = MovingRange.of(x, granularity=PerChannel(0), averaging_constant=0.5)
    arrays = [one.min, one.max, one.nans, one.infs, one.count]
    yield one, arrays, {**kept, "averaging_constant": 0.5}
    one = Top2.of(x, granularity=PerChannel(0), format="int4")
    arrays = [one.min, one.max, one.nans, one.infs, one.starts, one.ends, one.lost]
    yield one, arrays, {**kept, "axis": -1, "qmax": 7}
    spec = QuantSpec("int4", PerChannel(0))
    qparams = QParams(x, x + 1, spec)
    yield qparams, [qparams.scale, qparams.zero_point], {"spec": spec}
