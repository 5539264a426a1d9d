"""Programs that hold matrix products in every way JAX has, and how often each runs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name


def made(seed, *shape, dtype=jnp.float32):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


W, X = made(0, 4, 4), made(1, 3, 4)


def product(x):
    return x @ W


@jax.custom_jvp
def tripled(x):
    """A product whose derivative is said to be 3."""
    return x @ W


tripled.defjvp(lambda given, along: (tripled(*given), 3 * along[0]))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def scaled(x, factor):
    """A product whose gradient is said to be the factor times a sine."""
    return factor * (x @ W)


scaled.defvjp(
    lambda x, factor: (scaled(x, factor), jnp.sin(x)),
    lambda factor, kept, gradient: (factor * kept * gradient,),
)


def scan(x):
    def step(carry, row):
        return jnp.tanh(carry @ W), carry.sum() + row

    return jax.lax.scan(step, x, jnp.arange(3.0), reverse=True, unroll=2)


def over_layers(x):
    stacked = jnp.stack([W, -W, W / 2])
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), x), x, stacked)


def while_loop(x):
    return jax.lax.while_loop(
        lambda held: held[0] < 3, lambda held: (held[0] + 1, held[1] @ W), (0, x)
    )


def condition(x):
    """A loop whose condition holds a product, and its body none."""
    return jax.lax.while_loop(
        lambda x: jnp.abs(x @ W).sum() < 100, lambda x: x * 2 + 1, x
    )


def fori_loop(x):
    return jax.lax.fori_loop(0, 3, lambda i, x: jnp.tanh(x @ W) + i, x)


def cond(x):
    return jax.lax.cond(x[0, 0] > 0, lambda x: x @ W, jnp.sin, x)


def switch(x):
    return jax.lax.switch(1, [jnp.sin, lambda x: (x @ W) @ W, product], x)


def compiled(x):
    inner = jax.jit(lambda x: jnp.sin(x @ W))
    return jax.jit(lambda x: inner(x) + inner(2 * x), donate_argnums=0)(x + 0)


def saved(x):
    kept = jax.checkpoint_policies.save_only_these_names("kept")

    def layer(x):
        x = checkpoint_name(x @ W, "kept")
        return jnp.sin(x) @ W

    return jax.checkpoint(layer, policy=kept)(x)


def differentiated(x):
    """A gradient inside, of a checkpoint, whose program holds the second run."""
    layer = jax.checkpoint(lambda x: jnp.sin(x @ W))
    return jax.grad(lambda x: layer(x).sum())(x)


def linearized(x):
    value, slope = jax.linearize(lambda x: jnp.sin(x @ W), x)
    return value, slope(x), jax.jvp(product, (x,), (x,))


def mapped(x):
    return jax.vmap(jax.vmap(lambda row, w: jnp.tanh(row @ w), (0, None)), (None, 0))(
        x, jnp.stack([W, 2 * W])
    )


def mapped_loop(x):
    """A loop that each row leaves in its own time."""
    return jax.vmap(
        lambda row: jax.lax.while_loop(
            lambda y: y.sum() < 3, lambda y: jnp.abs(y @ W) + 1, row
        )
    )(x)


def printing(x):
    jax.debug.print("{}", x.sum())
    jax.debug.callback(np.asarray, x.sum(), ordered=True)
    return x @ W


def random(x):
    first, second = jax.random.split(jax.random.key(0))
    keep = jax.random.bernoulli(first, 0.5, x.shape)
    return jnp.where(keep, x, 0) @ W, second


def called(x):
    with jax.named_scope("outer"):
        return jax.named_call(product, name="inner")(x)


def solved(x):
    return jnp.linalg.solve(W, x.T) + jnp.linalg.inv(W) @ x.T


def results(x):
    """A result of every kind of leaf, and a number without a dtype of its own."""
    y = x @ W
    return {"y": y, "none": None, "text": "label", "sine": jnp.sin, "weak": 1.5 * 2}


def weak(x):
    return jnp.asarray(2.0) * 3, x.sum() * 2, jnp.asarray(1) + 1, (x @ W)[0, 0] + 1


def convolutions(x):
    pictures = jnp.sin(jnp.arange(4 * 6 * 5 * 4.0)).reshape(4, 6, 5, 4)
    kernel = made(2, 3, 3, 4, 8)
    layout = ("NHWC", "HWIO", "NHWC")
    plain = partial(jax.lax.conv_general_dilated, dimension_numbers=layout)
    return (
        plain(pictures, kernel, (1, 2), "SAME", rhs_dilation=(1, 2)) + x.sum(),
        plain(pictures, kernel[:, :, :1], (1, 1), "VALID", feature_group_count=4),
        plain(pictures, kernel, (1, 1), "SAME", batch_group_count=2),
        jax.lax.conv_transpose(pictures, kernel, (2, 2), "SAME"),
    )


def products(x):
    """Products of other dtypes, and what JAX can be told of them."""
    small = x.astype(jnp.bfloat16)
    return (
        jax.lax.dot(x, W, precision="highest"),
        jax.lax.dot(small, W.astype(jnp.bfloat16), preferred_element_type=jnp.float32),
        jnp.einsum("ij,jk,lk->il", small, W.astype(jnp.bfloat16), small),
        x.astype(jnp.float16) @ W.astype(jnp.float16),
        jnp.zeros((0, 4)) @ W,
        jnp.zeros((3, 0)) @ jnp.zeros((0, 4)),
        x[0] @ W[0],
    )


def others(x):
    """Products that are no sites: of integers, complex numbers and ragged groups."""
    whole, groups = jnp.int8(10 * x), jnp.asarray([1, 2])
    return (
        jax.lax.dot(whole, jnp.int8(10 * W), preferred_element_type=jnp.int32),
        (x + 1j) @ (W - 1j),
        jax.lax.ragged_dot(x, jnp.stack([W, 2 * W]), groups),
    )


PROGRAMS = {
    product: 1,
    tripled: 1,
    partial(scaled, factor=2.0): 1,
    scan: 3,
    over_layers: 3,
    while_loop: 3,
    condition: None,
    fori_loop: 3,
    cond: 1,
    switch: 2,
    compiled: 2,
    saved: 2,
    differentiated: 3,
    linearized: 4,
    mapped: 1,
    mapped_loop: None,
    printing: 1,
    random: 1,
    called: 1,
    solved: 1,
    results: 1,
    weak: 1,
    convolutions: 4,
    products: 8,
    others: 0,
}
"""With how many products run, if that does not depend on the data."""
