"""What a transform has made is not transformed again, however it is wrapped."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest

import qcore
from qcore.adapters.jax import calibrate, collect, fake_quant, fake_quantize, sites
from tests.adapters.jax.programs import W, X, over_layers

DYNAMIC = [{"activation": {"dynamic": True}}]

WRAPPED = {
    "itself": lambda f: f,
    "jit": jax.jit,
    "partial": partial,
    "lambda": lambda f: lambda x: f(x) + 1,
    "vmap": lambda f: jax.vmap(lambda row: f(row[None])),
    "grad": lambda f: jax.grad(lambda x: f(x).sum()),
    "checkpoint": lambda f: jax.jit(jax.checkpoint(f)),
    "scan": lambda f: lambda x: jax.lax.map(f, x[None]),
}


def f(x):
    return jnp.tanh(x @ W)


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("transform", [fake_quant, collect, calibrate, sites])
def test_a_second_transform_is_refused(transform, wrap):
    once = wrap(fake_quant(f, DYNAMIC))
    once(X)  # what was compiled before is noticed too
    given = {fake_quant: (X,), collect: (None, X), calibrate: (X,), sites: (X,)}
    options = {calibrate: (None, {})}.get(transform, ())
    with pytest.raises(qcore.QuantError, match=r"transformed already.* fake_quant has"):
        transform(once, *options)(*given[transform])


def test_what_collects_is_not_transformed_again():
    config = [{"activation": {"method": "minmax"}}]
    counting = collect(f, config)
    with pytest.raises(qcore.QuantError, match=r"transformed already.* collect has"):
        fake_quant(jax.jit(partial(counting, None)), DYNAMIC)(X)


def test_a_part_that_was_transformed_is_noticed():
    inner = fake_quant(over_layers, DYNAMIC)
    with pytest.raises(qcore.QuantError, match="transformed already"):
        fake_quant(jax.jit(lambda x: inner(x)[0] @ W), DYNAMIC)(X)


def test_rounding_that_a_function_does_itself_is_no_transform():
    step = qcore.QParams(jnp.float32(0.5), jnp.int32(0), qcore.QuantSpec())
    found = fake_quant(lambda x: fake_quantize(x, step) @ W, DYNAMIC)(X)
    assert found.shape == X.shape
