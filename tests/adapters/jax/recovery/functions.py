"""Data for small functions, and what these lose in codes."""

import jax.numpy as jnp
import numpy as np

from qcore import QuantSpec, qparams_from_range
from qcore.adapters.jax import calibrate, collect, fake_quant

COARSE = {
    "weight": {"format": "int3", "axis": "output"},
    "activation": {"format": "int8", "symmetric": False},
}
WEIGHTS = {"weight": COARSE["weight"]}


def made(seed, *shape):
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def data(*shape, calls=3):
    """Inputs that have much in common, and a mean."""
    mix = made(7, shape[-1], shape[-1])
    return [jnp.asarray(np.maximum(made(i, *shape) @ mix, 0)) for i in range(calls)]


def errors(f, params, qparams, calls, config=COARSE):
    """Return what each output of `f` loses, ``[N, outputs]``."""
    quantized = fake_quant(f, config, qparams)
    change = [
        np.asarray(quantized(params[1], x), np.float64) - f(params[0], x) for x in calls
    ]
    return np.concatenate([x.reshape(-1, x.shape[-1]) for x in change])


def ranged(calls, name):
    """Return the qparams of data that reaches a site as it is."""
    ends = [jnp.stack([end(x) for x in calls]) for end in (jnp.min, jnp.max)]
    spec = QuantSpec("int8", symmetric=False)
    return {name: qparams_from_range(ends[0].min(), ends[1].max(), spec)}


def calibrated(f, params, calls, config=COARSE):
    statistics = None
    for x in calls:
        _, statistics = collect(f, config)(statistics, params, x)
    return calibrate(f, config, statistics)(params, calls[0])
