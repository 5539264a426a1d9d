"""Products of quantized operands as tests expect them, in 64-bit integers."""

import jax.numpy as jnp
import numpy as np

import qcore
from qcore.adapters.jax import fake_quant

ASYMMETRIC = qcore.QuantSpec("int8", symmetric=False)


def made(seed, *shape):
    return np.random.default_rng(seed).normal(0.3, 1, shape).astype(np.float32)


def qparams(x, spec):
    found = qcore.qparams_from_data(x, spec)
    return qcore.QParams(
        jnp.asarray(found.scale), jnp.asarray(found.zero_point), found.spec
    )


def steps(x, given):
    """Return codes less zero points, int64."""
    fmt, scale = given.spec.format, np.asarray(given.scale)
    zero_point = np.asarray(given.zero_point)
    codes = np.clip(np.rint(x / scale) + zero_point, fmt.qmin, fmt.qmax)
    return codes.astype(np.int64) - zero_point


def product(weight, x):
    return x @ weight


def computed(f, lhs, rhs, given, **options):
    """Return `f` of two operands that are quantized as given."""
    return fake_quant(f, None, given, **options)(rhs, lhs)


def case(name, lhs, rhs, specs):
    sides = {"lhs": lhs, "rhs": rhs}
    return {
        f"{name}:0.{side}": qparams(x, spec)
        for (side, x), spec in zip(sides.items(), specs, strict=True)
    }


def per_axis(axis, format="int8", **options):
    return qcore.QuantSpec(format, qcore.PerChannel(axis), **options)
