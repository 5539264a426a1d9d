"""Products are listed with what keeps them from integers."""

import jax
import jax.numpy as jnp

from qcore.adapters.jax import quantized_dots
from tests.adapters.jax.integers import (
    product,
)


def listed(f, *args, rhs, lhs=None):
    rules = {"weight": rhs, "activation": lhs or {"format": "int8", "dynamic": True}}
    return quantized_dots(f, rules)(*args)


def test_products_are_listed_with_what_keeps_them_from_integers():
    x = jax.ShapeDtypeStruct((6, 64), jnp.float32)
    weight = jax.ShapeDtypeStruct((64, 64), jnp.float32)
    reasons = [
        ({"format": "int8", "axis": "output"}, None),
        ({"format": "float8_e4m3fn"}, "rhs is float8_e4m3fn"),
        ({"format": "int16"}, "rhs is int16"),
        ({"format": "int8", "axis": 0}, "along an axis that is summed"),
        ({"format": "int8", "block_size": 32}, "rhs has scales of blocks"),
        (None, "rhs is not quantized"),
    ]
    for rule, reason in reasons:
        found = listed(product, weight, x, rhs=rule)["dot_general:0"]
        assert found is None if reason is None else reason in found


def test_sums_that_could_overflow_are_left_in_floats():
    specs = {"rhs": {"format": "int8"}, "lhs": {"format": "uint8", "dynamic": True}}
    for terms, fits in (
        (2**31 // (255 * 128), True),
        (2**31 // (255 * 128) + 1, False),
    ):
        x = jax.ShapeDtypeStruct((1, terms), jnp.float32)
        weight = jax.ShapeDtypeStruct((terms, 1), jnp.float32)
        found = listed(product, weight, x, **specs)["dot_general:0"]
        assert (found is None) == fits
