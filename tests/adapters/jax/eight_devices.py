"""Transforms on eight devices against one: prints what each named check raises."""

import json
import os
import sys
import traceback
from functools import cache

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from qcore.adapters.jax import calibrate, collect, fake_quant, sync_statistics

EVERY, ROWS = PartitionSpec(), PartitionSpec("data")
SPECS = {"in_specs": (EVERY, ROWS), "out_specs": ROWS}
MESH = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
CONFIG = {
    "weight": {"format": "int8", "axis": "output", "method": "minmax"},
    "activation": {"symmetric": False, "method": "minmax", "bins": 64},
}

rng = np.random.default_rng(0)
WEIGHT, WEIGHT_8, X = (
    jnp.float32(rng.normal(size=size)) for size in ((8, 5), (8, 8), (16, 8))
)
BATCHES = (X, 3 * X)  # the range grows


def on_one(weight: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ weight)


def mapped(weight: jax.Array, x: jax.Array) -> jax.Array:
    return jax.shard_map(on_one, mesh=MESH, **SPECS)(weight, x)


def pmapped(weight: jax.Array, x: jax.Array) -> jax.Array:
    rows = x.reshape(8, 2, 8)
    found = jax.pmap(on_one, in_axes=(None, 0), axis_name="data")(weight, rows)
    return found.reshape(16, 5)


def assert_equal(found, expected):
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


@cache
def expected():
    collecting, seen = jax.jit(collect(on_one, CONFIG)), None
    for batch in BATCHES:
        _, seen = collecting(seen, WEIGHT, batch)
    return seen


def check_inside(f):
    """The map is in the function: counts, values and gradients are those of one."""
    collecting, seen = jax.jit(collect(f, CONFIG)), None
    for batch in BATCHES:
        out, seen = collecting(seen, WEIGHT, batch)
        np.testing.assert_allclose(out, on_one(WEIGHT, batch), atol=1e-6)
    wanted = expected()
    assert_equal(list(seen.values()), list(wanted.values()))
    of_f = calibrate(f, CONFIG, seen)(WEIGHT, X)
    of_one = calibrate(on_one, CONFIG, wanted)(WEIGHT, X)
    assert_equal(list(of_f.values()), list(of_one.values()))
    found = []
    for g, qparams in ((f, of_f), (on_one, of_one)):
        quantized = fake_quant(g, CONFIG, qparams)

        def loss(w, quantized=quantized):
            out = quantized(w, X)
            return (out**2).sum(), out

        found.append(jax.jit(jax.value_and_grad(loss, has_aux=True))(WEIGHT))
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def shard_map():
    check_inside(mapped)


def pmap():
    check_inside(pmapped)


def shard_map_around():
    """The map is around `collect`: what devices found is added by name."""

    def collected(weight, x):
        out, seen = collect(on_one, CONFIG)(None, weight, x)
        return out, sync_statistics(seen, "data")

    around = jax.jit(
        jax.shard_map(
            collected,
            mesh=MESH,
            in_specs=(EVERY, ROWS),
            out_specs=(ROWS, EVERY),
            check_vma=False,
        )
    )
    merge(around, lambda x: x)


def pmap_around():
    around = jax.pmap(
        lambda weight, x: sync_statistics(
            collect(on_one, CONFIG)(None, weight, x)[1], "data"
        ),
        in_axes=(None, 0),
        out_axes=None,
        axis_name="data",
    )
    merge(lambda w, x: (None, around(w, x)), lambda x: x.reshape(8, 2, 8))


def merge(around, laid_out):
    parts = [around(WEIGHT, laid_out(batch))[1] for batch in BATCHES]
    first, second = jax.device_get(parts)
    with jax.enable_x64(True):
        first, second = (jax.tree.map(jnp.asarray, one) for one in (first, second))
    found = {name: seen.merge(second[name]) for name, seen in first.items()}
    assert_equal(found, expected())


def assert_counted_as(plain, split, **specs):
    """The map sees the values that a plain function does, each as often."""
    _, wanted = jax.jit(collect(plain, CONFIG))(None, WEIGHT_8, X)
    for checked in (True, False):
        f = jax.shard_map(split, mesh=MESH, check_vma=checked, **specs)
        _, found = jax.jit(collect(f, CONFIG))(None, WEIGHT_8, X)
        assert_equal(list(found.values()), list(wanted.values()))


def replicated():
    """What all devices see is counted once, and what each sees, once for each."""
    columns = PartitionSpec(None, "data")
    specs = {"in_specs": (columns, EVERY), "out_specs": columns}
    assert_counted_as(on_one, on_one, **specs)


def gathered():
    """What devices gather is the same on all, and what they pick out is not."""

    def split(weight, x):
        every = jax.lax.all_gather(x, "data", tiled=True)
        return jnp.tanh(every @ weight)

    columns = PartitionSpec(None, "data")
    specs = {"in_specs": (columns, ROWS), "out_specs": columns}
    assert_counted_as(on_one, split, **specs)

    def picked(weight, x):
        first = 2 * jax.lax.axis_index("data")
        return on_one(weight, jax.lax.dynamic_slice_in_dim(x, first, 2))

    assert_counted_as(on_one, picked, in_specs=(EVERY, EVERY), out_specs=ROWS)


def summed():
    """A map may say that a sum is the same on all devices."""

    def split(weight, x):
        return jax.lax.psum(x @ weight, "data")

    columns = PartitionSpec(None, "data")
    specs = {"in_specs": (ROWS, columns), "out_specs": EVERY}
    assert_counted_as(on_one, split, **specs)


def scanned():
    """In a loop too what is the same on all devices counts once."""

    def looped(weight, x):
        return jax.lax.scan(lambda x, _: (x @ weight, None), x, length=2)[0]

    specs = {"in_specs": (EVERY, EVERY), "out_specs": EVERY}
    assert_counted_as(looped, looped, **specs)
    specs = {"in_specs": (EVERY, ROWS), "out_specs": ROWS}
    assert_counted_as(looped, looped, **specs)


def branched():
    """In branches and loops that all devices take alike, it counts once, too."""

    def chosen(weight, x):
        return jax.lax.cond(
            x.sum() < 1e9, lambda w: x @ w, lambda w: x @ (2 * w), weight
        )

    def rounds(weight, x):
        def step(held):
            return held[0] + 1, held[1] + x @ weight

        return jax.lax.while_loop(lambda held: held[0] < 2, step, (0, x @ weight))[1]

    columns = PartitionSpec(None, "data")
    specs = {"in_specs": (columns, EVERY), "out_specs": columns}
    assert_counted_as(chosen, chosen, **specs)
    assert_counted_as(rounds, rounds, **specs)


def assert_counted_apart(f):
    """A map counts as many values as its devices see, each on its own."""

    def on_each(weight, x):
        return jnp.concatenate([f(weight, rows) for rows in jnp.split(x, 8)])

    def count(g):
        seen = jax.jit(collect(g, CONFIG))(None, WEIGHT_8, X)[1].values()
        held = [(one.counts, one.zeros) for one in seen]
        return sum(int(np.asarray(x).sum()) for x in jax.tree.leaves(held))

    assert count(jax.shard_map(f, mesh=MESH, **SPECS)) == count(on_each) > 0


def branched_apart():
    """Where devices differ in what they take, each counts what it sees."""

    def chosen(weight, x):
        return jax.lax.cond(x[0, 0] < 0, lambda x: x @ weight, jnp.tanh, x)

    def rounds(weight, x):
        def step(held):
            return held[0] - 1, jnp.tanh(weight.sum() + held[1] @ weight)

        count = jnp.int32(8 * abs(x[0, 0]))
        return jax.lax.while_loop(lambda held: held[0] > 0, step, (count, x))[1]

    assert_counted_apart(chosen)
    assert_counted_apart(rounds)


def run(checks):
    """Print what checks raise, as JSON."""
    assert len(jax.devices()) == 8
    errors = {}
    for name in sys.argv[1:]:
        try:
            checks[name]()
        except Exception:
            errors[name] = traceback.format_exc()
    print(json.dumps(errors))


if __name__ == "__main__":
    run(globals())
