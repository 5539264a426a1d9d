"""MobileNet v1 as a function of JAX arrays, with the public ONNX model's weights."""

import jax
import jax.numpy as jnp
import onnx
from onnx import numpy_helper

Params = dict[str, jax.Array]
"""Arrays by the names of the ONNX file: ``"dw.3.weight"`` is ``[O, I, H, W]``."""

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Of the depthwise convolutions."""


def read_params(path: str) -> Params:
    """Return the weights of an ONNX file."""
    return {
        tensor.name: jnp.asarray(numpy_helper.to_array(tensor))
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.partition(".")[0] in ("conv1", "dw", "pw", "preds")
    }


def convolution(
    params: Params, name: str, x: jax.Array, stride: int = 1, groups: int = 1
) -> jax.Array:
    """Return ReLU6 of a convolution, padded as TensorFlow has it."""
    weight, bias = params[f"{name}.weight"], params[f"{name}.bias"]
    with jax.named_scope(name):
        size = weight.shape[-1]
        padding = (0, 1) if stride == 2 else (size // 2, size // 2)
        x = jax.lax.conv_general_dilated(
            x,
            weight,
            (stride, stride),
            (padding, padding),
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
            feature_group_count=groups,
        )
        return jnp.clip(x + bias[:, None, None], 0, 6)


def mobilenet(params: Params, x: jax.Array) -> jax.Array:
    """Return logits ``[N, 1000]`` of pictures ``[N, 3, 224, 224]`` from -1 to 1."""
    x = convolution(params, "conv1", x, 2)
    for number, stride in enumerate(STRIDES):
        channels = x.shape[1]
        x = convolution(params, f"dw.{number}", x, stride, channels)
        x = convolution(params, f"pw.{number}", x)
    with jax.named_scope("preds"):
        rows = x.mean((2, 3))
        return rows @ params["preds.weight"].T + params["preds.bias"]
