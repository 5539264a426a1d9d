"""The MNIST CNN as a function of JAX arrays, with the public ONNX model's weights."""

import jax
import jax.numpy as jnp
import onnx
from onnx import numpy_helper

Params = dict[str, jax.Array]
"""Arrays by layer: ``"conv1.weight"`` is ``[O, I, H, W]``, ``"dense.weight"`` rows."""

NAMES = {
    "Parameter5": "conv1.weight",
    "Parameter6": "conv1.bias",
    "Parameter87": "conv2.weight",
    "Parameter88": "conv2.bias",
    "Parameter193": "dense.weight",
    "Parameter194": "dense.bias",
}
"""What CNTK called them in the file."""


def read_params(path: str) -> Params:
    """Return the weights of the ONNX file."""
    params = {
        NAMES[tensor.name]: jnp.asarray(numpy_helper.to_array(tensor))
        for tensor in onnx.load(path).graph.initializer
        if tensor.name in NAMES
    }
    return {**params, "dense.weight": params["dense.weight"].reshape(256, 10)}


def layer(params: Params, name: str, x: jax.Array, pool: int) -> jax.Array:
    """Return the largest values of windows of ReLU of a convolution."""
    with jax.named_scope(name):
        x = jax.lax.conv_general_dilated(
            x,
            params[f"{name}.weight"],
            (1, 1),
            "SAME",
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
        )
        x = jax.nn.relu(x + params[f"{name}.bias"])
        window = (1, 1, pool, pool)
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")


def mnist(params: Params, x: jax.Array) -> jax.Array:
    """Return logits ``[N, 10]`` of pictures ``[N, 1, 28, 28]`` from 0 to 255."""
    x = layer(params, "conv1", x, 2)
    x = layer(params, "conv2", x, 3)
    with jax.named_scope("dense"):
        return x.reshape(len(x), -1) @ params["dense.weight"] + params["dense.bias"]
