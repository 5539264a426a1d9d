"""Collect on eight devices what one sees, and compare; run as a program."""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, PartitionSpec

from qcore.adapters.jax import calibrate, collect, fake_quant


def on_one(weight: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ weight)


def main() -> None:
    assert len(jax.devices()) == 8
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    every, rows = PartitionSpec(), PartitionSpec("data")
    on_eight = jax.shard_map(on_one, mesh=mesh, in_specs=(every, rows), out_specs=rows)
    rng = np.random.default_rng(0)
    weight, x = (jnp.float32(rng.normal(size=size)) for size in ((8, 5), (16, 8)))
    found, expected = None, None
    for batch in (x, 3 * x):  # the range grows
        _, found = jax.jit(collect(on_eight))(found, weight, batch)
        _, expected = jax.jit(collect(on_one))(expected, weight, batch)
    for a, b in zip(*map(jax.tree.leaves, (found, expected)), strict=True):
        np.testing.assert_array_equal(a, b)
    qparams = calibrate(on_eight, None, found)(weight, x)
    outputs = [fake_quant(f, None, qparams)(weight, x) for f in (on_eight, on_one)]
    np.testing.assert_allclose(*outputs, atol=1e-6)
    gradients = [
        jax.grad(lambda w, f=f: (fake_quant(f, None, qparams)(w, x) ** 2).sum())(weight)
        for f in (on_eight, on_one)
    ]
    np.testing.assert_allclose(*gradients, atol=1e-5)


if __name__ == "__main__":
    main()
