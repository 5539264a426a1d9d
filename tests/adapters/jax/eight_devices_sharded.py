"""Arrays that lie on several devices, without a map: as `eight_devices`."""

import jax
import jax.numpy as jnp
import numpy as np
from eight_devices import (
    BATCHES,
    CONFIG,
    EVERY,
    MESH,
    ROWS,
    WEIGHT,
    WEIGHT_8,
    X,
    assert_equal,
    expected,
    on_one,
    run,
)
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from qcore.adapters.jax import calibrate, collect, fake_quant


def another_device():
    """Without compilation too statistics begin where the data is."""
    device, seen = jax.devices()[3], None
    for batch in BATCHES:
        weight, x = jax.device_put((WEIGHT, batch), device)
        _, seen = collect(on_one, CONFIG)(seen, weight, x)
    assert {x.device for x in jax.tree.leaves(seen)} == {device}
    assert_equal(seen, expected())


def shardings():
    """What a compiled function inside says of its arrays holds after its rebuilding."""
    rows = NamedSharding(MESH, ROWS)
    every = NamedSharding(MESH, EVERY)
    f = jax.jit(on_one, in_shardings=(every, rows), out_shardings=rows)
    config = {"activation": {"dynamic": True}}
    x = jax.device_put(X, rows)
    found = jax.jit(fake_quant(f, config))(WEIGHT, x)
    assert found.sharding.is_equivalent_to(rows, 2)
    wanted = fake_quant(on_one, config)(WEIGHT, X)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def sharded_batches():
    """Without a map: XLA spreads the batch, and the counts are the same."""
    for collecting in (jax.jit(collect(on_one, CONFIG)), collect(on_one, CONFIG)):
        seen = None
        for batch in BATCHES:
            spread = jax.device_put(batch, NamedSharding(MESH, ROWS))
            _, seen = collecting(seen, WEIGHT, spread)
        assert_equal(seen, expected())


def assert_explicit(f, weight, x, *specs):
    """Where axes are explicit, statistics, scales and results are those of one."""
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
    spread = [
        jax.device_put(one, NamedSharding(mesh, spec))
        for one, spec in zip((weight, x), specs, strict=True)
    ]

    def results(compiled, *given):
        _, seen = compiled(collect(f, CONFIG))(None, *given)
        _, seen = compiled(collect(f, CONFIG))(seen, *given)
        qparams = calibrate(f, CONFIG, seen)(*given)
        quantized = [
            fake_quant(f, CONFIG, qparams, quantized_dot=dot) for dot in (False, True)
        ]
        found = [compiled(g)(*given) for g in quantized]
        # JAX differentiates such arrays in compiled functions alone.
        slopes = [
            jax.jit(jax.grad(lambda w, g=g: (g(w, given[1]) ** 2).sum()))(given[0])
            for g in quantized
        ]
        return [seen, qparams], found, slopes

    bits, *wanted = results(jax.jit, weight, x)
    for compiled in (jax.jit, lambda f: f):
        found_bits, *found = results(compiled, *spread)
        assert_equal(found_bits, bits)
        for a, b in zip(*map(jax.tree.leaves, (found, wanted)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)
        assert found[0][0].sharding.is_equivalent_to(f(*spread).sharding, 2)


def explicit():
    """As meshes are by default."""
    assert_explicit(on_one, WEIGHT, X, EVERY, ROWS)
    assert_explicit(on_one, WEIGHT_8, X, PartitionSpec(None, "data"), EVERY)


def explicit_in_loops():
    """What a loop or a branch carries is on the mesh from the first round."""

    def looped(weight, x):
        def step(x, _):
            return jax.lax.cond(x.sum() < 1e9, lambda x: x @ weight, jnp.tanh, x), None

        return jax.lax.scan(step, x, length=2)[0]

    assert_explicit(looped, WEIGHT_8, X, EVERY, ROWS)


if __name__ == "__main__":
    run(globals())
