"""Handwritten digits and a small convolutional network that reads them.

The pictures are the 1797 of scikit-learn, 8 x 8 pixels. The network is a function of a
dict of arrays and learns them in a few seconds on a CPU. With 2634 weights it has none
to spare, and feels few bits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

Params = dict[str, dict[str, jax.Array]]
Network = Callable[[Params, jax.Array], jax.Array]

LAYERS = {"stem": (1, 1, 6), "middle": (2, 6, 12), "last": (1, 12, 16)}
"""Stride, channels in and out of each convolution of 3 x 3."""

BATCH = 50


class Digits(NamedTuple):
    """Pictures ``[N, 8, 8, 1]`` from 0 to 1, and the digits they show."""

    pictures: jax.Array
    labels: jax.Array


def load() -> tuple[Digits, Digits]:
    """Return 1000 pictures to train with and 797 to test with."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    pictures = np.float32(data.images)[order, :, :, None] / 16
    whole = Digits(jnp.asarray(pictures), jnp.asarray(data.target[order], jnp.int32))
    train, test = (
        Digits(*(array[part] for array in whole))
        for part in (slice(1000), slice(1000, None))
    )
    return train, test


def initial(seed: int) -> Params:
    """Return random weights."""
    shapes = {name: (3, 3, *channels) for name, (_, *channels) in LAYERS.items()}
    shapes["head"] = (shapes["last"][-1], 10)
    make = jax.nn.initializers.he_normal()
    keys = jax.random.split(jax.random.key(seed), len(shapes))
    return {
        name: {"weight": make(key, shape), "bias": jnp.zeros(shape[-1])}
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def network(params: Params, x: jax.Array) -> jax.Array:
    """Return logits ``[N, 10]``; the scopes are what sites are called by."""
    for name, (stride, *_) in LAYERS.items():
        with jax.named_scope(name):
            x = jax.lax.conv_general_dilated(
                x,
                params[name]["weight"],
                (stride, stride),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            x = jax.nn.relu(x + params[name]["bias"])
    with jax.named_scope("head"):
        return x.mean((1, 2)) @ params["head"]["weight"] + params["head"]["bias"]


def train(
    f: Network, params: Params, data: Digits, *, epochs: int, rate: float
) -> Params:
    """Return the weights after training, the learning rate annealed along a cosine."""
    steps = epochs * (len(data.labels) // BATCH)
    schedule = optax.cosine_decay_schedule(rate, steps)
    optimizer = optax.adam(schedule)

    def loss(params: Params, batch: Digits) -> jax.Array:
        logits = f(params, batch.pictures)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
        return losses.mean()

    def step(carry: Any, batch: Digits) -> Any:
        params, state = carry
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state)
        return (optax.apply_updates(params, updates), state), None

    @jax.jit
    def epoch(carry: Any, order: jax.Array) -> Any:
        batches = Digits(*(array[order.reshape(-1, BATCH)] for array in data))
        return jax.lax.scan(step, carry, batches)[0]

    carry = (params, optimizer.init(params))
    for seed in range(epochs):
        order = jax.random.permutation(jax.random.key(seed), len(data.labels))
        carry = epoch(carry, order)
    return carry[0]


def accuracy(f: Network, params: Params, data: Digits) -> float:
    """Return the share of pictures read right, in percent."""
    right = f(params, data.pictures).argmax(1) == data.labels
    return 100 * float(right.mean())
