"""Small models, each with a quirk that files of the wild have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

X = "float[N, 3, 8, 8] x"


@dataclass(frozen=True)
class Case:
    """A model in ONNX's own text form, and how it differs.

    Attributes
    ----------
    inputs, outputs, body : str
        Of the graph.
    constants : mapping
        Shapes of random initializers, or arrays.
    feed : mapping
        Shapes of random inputs, or arrays.
    opset, ir_version : int
        Of the model.
    more : str
        Functions that follow the graph.
    domains : str
        Further opset imports.
    refused : str
        What is said, where nothing can be quantized.
    change : callable
        Done to the model when it is whole.
    """

    inputs: str
    outputs: str
    body: str
    constants: Mapping[str, object] = field(default_factory=dict)
    feed: Mapping[str, object] = field(default_factory=lambda: {"x": (2, 3, 8, 8)})
    opset: int = 17
    ir_version: int = 8
    more: str = ""
    domains: str = ""
    refused: str = ""
    change: Callable[[onnx.ModelProto], object] = id


def model_of(name: str) -> onnx.ModelProto:
    """Return the model of a case."""
    case = CASES[name]
    rng = np.random.default_rng(crc32(name.encode()))
    model = onnx.parser.parse_model(
        f'<ir_version: {case.ir_version}, opset_import: ["" : {case.opset}'
        f"{case.domains}]> net ({case.inputs}) => ({case.outputs}) {{{case.body}}}"
        f" {case.more}"
    )
    for key, given in case.constants.items():
        array = _weights(rng, given) if isinstance(given, tuple) else given
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), key))
    case.change(model)
    return model


def samples_of(name: str, count: int = 8) -> list[dict[str, np.ndarray]]:
    """Return samples for it."""
    rng = np.random.default_rng(crc32(name.encode()) + 1)
    return [
        {
            key: rng.normal(size=given).astype(np.float32)
            if isinstance(given, tuple)
            else np.asarray(given)
            for key, given in CASES[name].feed.items()
        }
        for _ in range(count)
    ]


def _weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    fan_in = max(int(np.prod(shape[1:])), 1)
    return (rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)


def _conv(
    extra: str = "", outputs: str = "float[N, 4, H, W] y", **options: object
) -> Case:
    return Case(
        X,
        outputs,
        f"c = Conv{extra and f'<{extra}>'}(x, w, b) \n r = Relu(c) \n y = Conv(r, w2)",
        {"w": (6, 3, 3, 3), "b": (6,), "w2": (4, 6, 1, 1)},
        **options,
    )


HEAD = (
    "\n f = GlobalAveragePool(h) \n g = Flatten(f) \n y = Gemm<transB = 1>(g, wh, bh)"
)
HEADED = {"wh": (5, 6), "bh": (5,)}
FIRST = {"w": (6, 3, 3, 3), "b": (6,)}
BATCH_NORM = {
    "gamma": np.float32([1.0, 0.5, -0.7, 2.0, 1.1, 0.9]),
    "beta": (6,),
    "mean": (6,),
    "var": np.float32([1.0, 0.5, 0.7, 2.0, 1.1, 0.9]),
}


def _headed(
    body: str, constants: Mapping[str, object] | None = None, **options: object
) -> Case:
    """Return a convolution to ``c``, what `body` makes of it to ``h``, and a head."""
    given = {**FIRST, **HEADED, **(constants or {})}
    start = "c = Conv<pads = [1, 1, 1, 1]>(x, w, b) \n "
    return Case(X, "float[N, 5] y", start + body + HEAD, given, **options)


def _inputs_too(model: onnx.ModelProto) -> None:
    """Name initializers among the inputs, as IR version 3 wants."""
    model.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims)
        for t in model.graph.initializer
    )


def _nameless(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = ""


def _slashes(model: onnx.ModelProto) -> None:
    """Spell names as exporters do, and in letters of all kinds."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name in ("c", "r", "w"):
                    names[i] = f"/модель/layer.{name}:0"
    for tensor in model.graph.initializer:
        if tensor.name == "w":
            tensor.name = "/модель/layer.w:0"


def _constant_nodes(model: onnx.ModelProto) -> None:
    """Hold initializers in nodes."""
    for tensor in model.graph.initializer:
        node = helper.make_node("Constant", [], [tensor.name], value=tensor)
        model.graph.node.insert(0, node)
    model.graph.ClearField("initializer")


def _no_shapes(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")


def _raw_fields(model: onnx.ModelProto) -> None:
    """Keep weights in typed fields, not as raw bytes."""
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensor.ClearField("raw_data")
        tensor.float_data.extend(array.ravel().tolist())


def _half(kind: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            values = array.ravel().tolist()
            tensor.CopyFrom(helper.make_tensor(tensor.name, kind, array.shape, values))
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = kind

    return change


CASES: dict[str, Case] = {
    # Convolutions
    "conv 1d": Case(
        "float[N, 3, 9] x",
        "float[N, 4, L] y",
        "c = Conv(x, w, b) \n r = Relu(c) \n y = Conv(r, w2)",
        {"w": (6, 3, 3), "b": (6,), "w2": (4, 6, 1)},
        {"x": (2, 3, 9)},
    ),
    "conv 3d": Case(
        "float[N, 2, 5, 5, 5] x",
        "float[N, 4, D, H, W] y",
        "c = Conv(x, w) \n r = Relu(c) \n y = Conv(r, w2)",
        {"w": (6, 2, 3, 3, 3), "w2": (4, 6, 1, 1, 1)},
        {"x": (2, 2, 5, 5, 5)},
    ),
    "strides, dilations, pads that differ": _conv(
        "strides = [2, 1], dilations = [1, 2], pads = [0, 1, 2, 3]"
    ),
    "auto_pad": _conv('auto_pad = "SAME_UPPER", strides = [2, 2]'),
    "grouped": Case(
        "float[N, 4, 8, 8] x",
        "float[N, 4, H, W] y",
        "c = Conv<group = 2>(x, w) \n y = Conv<group = 4>(c, w2)",
        {"w": (4, 2, 3, 3), "w2": (4, 1, 3, 3)},
        {"x": (2, 4, 8, 8)},
    ),
    "transposed": _headed(
        "h = ConvTranspose<strides = [2, 2], output_padding = [1, 1]>(c, v, b)",
        {"v": (6, 6, 3, 3)},
    ),
    "transposed in groups": _headed(
        "h = ConvTranspose<group = 2>(c, v)", {"v": (6, 3, 2, 2)}
    ),
    # Products of matrices
    "gemm transposed, with factors": Case(
        "float[N, 6] x",
        "float[N, 5] y",
        "h = Gemm<transB = 1, alpha = 0.5, beta = 2.0>(x, w, b) \n y = Gemm(h, w2)",
        {"w": (7, 6), "b": (7,), "w2": (7, 5)},
        {"x": (4, 6)},
    ),
    "gemm of a transposed input": Case(
        "float[6, N] x",
        "float[N, 5] y",
        "h = Gemm<transA = 1>(x, w, b) \n y = MatMul(h, w2)",
        {"w": (6, 7), "b": (1, 7), "w2": (7, 5)},
        {"x": (6, 4)},
    ),
    "gemm with a bias for each row": Case(
        "float[4, 6] x",
        "float[4, 5] y",
        "h = MatMul(x, v) \n y = Gemm(h, w, b)",
        {"v": (6, 6), "w": (6, 5), "b": (4, 1)},
        {"x": (4, 6)},
    ),
    "matmul of a constant first": Case(
        "float[6, N] x",
        "float[5, 4] y",
        "h = MatMul(w, x) \n y = MatMul(h, w2)",
        {"w": (5, 6), "w2": (4, 4)},
        {"x": (6, 4)},
    ),
    "matmul of a vector": Case(
        "float[6] x",
        "float[5] y",
        "h = MatMul(x, w) \n y = Relu(h)",
        {"w": (6, 5)},
        {"x": (6,)},
    ),
    "matmul by a vector": Case(
        "float[N, 6] x", "float[N] y", "y = MatMul(x, w)", {"w": (6,)}, {"x": (4, 6)}
    ),
    "stack of weights": Case(
        "float[2, N, 6] x",
        "float[2, N, 5] y",
        "y = MatMul(x, w)",
        {"w": (2, 6, 5)},
        {"x": (2, 4, 6)},
    ),
    "einsum that is a matmul": Case(
        "float[N, S, 6] x",
        "float[N, S, 5] y",
        'h = Einsum<equation = "bsi,io->bso">(x, w) \n y = MatMul(h, w2)',
        {"w": (6, 7), "w2": (7, 5)},
        {"x": (2, 3, 6)},
    ),
    "attention": Case(
        "float[N, S, 8] x",
        "float[N, S, 8] y",
        """q = MatMul(x, wq)
        k = MatMul(x, wk)
        v = MatMul(x, wv)
        t = Transpose<perm = [0, 2, 1]>(k)
        s = MatMul(q, t)
        p = Softmax<axis = -1>(s)
        a = MatMul(p, v)
        o = MatMul(a, wo)
        r = Add(o, x)
        y = LayerNormalization(r, gamma, beta)""",
        {
            **dict.fromkeys(("wq", "wk", "wv", "wo"), (8, 8)),
            "gamma": np.ones(8, np.float32),
            "beta": (8,),
        },
        {"x": (2, 5, 8)},
    ),
    # Between products
    "batch normalization after": _headed(
        "n = BatchNormalization(c, gamma, beta, mean, var) \n h = Relu(n)", BATCH_NORM
    ),
    "batch normalization before": Case(
        X,
        "float[N, 6, H, W] y",
        "n = BatchNormalization(x, gamma, beta, mean, var) \n"
        "c = Conv(n, w) \n y = Conv(c, w2)",
        {
            **{
                k: v[:3] if isinstance(v, np.ndarray) else (3,)
                for k, v in BATCH_NORM.items()
            },
            "w": (6, 3, 3, 3),
            "w2": (6, 6, 1, 1),
        },
    ),
    "two batch normalizations of one convolution": _headed(
        """n = BatchNormalization(c, gamma, beta, mean, var)
        m = BatchNormalization(c, beta, gamma, mean, var)
        h = Add(n, m)""",
        BATCH_NORM,
    ),
    "weights that two convolutions share": _headed(
        """d = Conv<pads = [1, 1, 1, 1]>(c, v)
        n = BatchNormalization(d, gamma, beta, mean, var)
        h = Conv<pads = [1, 1, 1, 1]>(n, v)""",
        {**BATCH_NORM, "v": (6, 6, 3, 3)},
    ),
    "clip to six": _headed(
        "h = Clip(c, zero, six)",
        {"zero": np.float32(0), "six": np.float32(6)},
    ),
    "clip with one bound": _headed("h = Clip(c, , six)", {"six": np.float32(1)}),
    "leaky": _headed("h = LeakyRelu<alpha = 0.1>(c)"),
    "hard swish": _headed("h = HardSwish(c)"),
    "swish by hand": _headed("s = Sigmoid(c) \n h = Mul(c, s)"),
    "gelu": _headed("h = Gelu(c)", opset=20),
    "prelu": _headed(
        "h = PRelu(c, slope)", {"slope": np.full((6, 1, 1), 0.2, np.float32)}
    ),
    "residual": _headed(
        "d = Conv<pads = [1, 1, 1, 1]>(c, v) \n s = Add(d, c) \n h = Relu(s)",
        {"v": (6, 6, 3, 3)},
    ),
    "a branch added to itself": _headed("h = Add(c, c)"),
    "minus and times": _headed("r = Relu(c) \n d = Sub(c, r) \n h = Mul(d, r)"),
    "scaled by a constant": _headed("h = Mul(c, two)", {"two": np.float32(2)}),
    "pools": _headed(
        """p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(c)
        a = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(p)
        q = GlobalMaxPool(a)
        h = Add(a, q)"""
    ),
    "maximum with its place": _headed(
        "m, i = MaxPool<kernel_shape = [2, 2]>(c) \n h = Relu(m)"
    ),
    "joined and split": _headed(
        """r = Relu(c)
        j = Concat<axis = 1>(c, r)
        h, k = Split<axis = 1>(j, parts)""",
        {"parts": np.int64([6, 6])},
    ),
    "joined with itself": _headed(
        "j = Concat<axis = 1>(c, c) \n h = Conv(j, v)", {"v": (6, 12, 1, 1)}
    ),
    "joined with a constant": _headed(
        "j = Concat<axis = 2>(c, k) \n h = Conv(j, v)",
        {"v": (6, 6, 1, 1), "k": np.ones((2, 6, 1, 8), np.float32)},
    ),
    "resized": _headed(
        'h = Resize<mode = "nearest">(c, , scales)',
        {"scales": np.float32([1, 1, 2, 2])},
    ),
    "resized between": _headed(
        'h = Resize<mode = "linear">(c, , scales)',
        {"scales": np.float32([1, 1, 1.5, 1.5])},
    ),
    "padded": _headed("h = Pad(c, pads)", {"pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1])}),
    "depth to space": Case(
        X,
        "float[N, 2, H, W] y",
        "c = Conv(x, w) \n d = DepthToSpace<blocksize = 2>(c) \n y = Conv(d, w2)",
        {"w": (8, 3, 3, 3), "w2": (2, 2, 1, 1)},
    ),
    "moved about": _headed(
        """t = Transpose<perm = [0, 2, 3, 1]>(c)
        s = Slice(t, starts, ends, axes)
        u = Transpose<perm = [0, 3, 1, 2]>(s)
        h = Identity(u)""",
        {"starts": np.int64([1]), "ends": np.int64([7]), "axes": np.int64([1])},
    ),
    "a shape that is computed": _headed(
        """shape = Shape(c)
        flat = Reshape(c, minus)
        h = Reshape(flat, shape)""",
        {"minus": np.int64([-1])},
    ),
    "dropped out": _headed("h, mask = Dropout(c)"),
    "normalized by instance": _headed(
        "h = InstanceNormalization(c, gamma, beta)",
        {"gamma": np.ones(6, np.float32), "beta": (6,)},
    ),
    "averaged over axes": _headed(
        "m = ReduceMean<axes = [2, 3], keepdims = 1>(c) \n h = Add(c, m)"
    ),
    "lstm": Case(
        "float[S, N, 4] x",
        "float[S, N, 5] y",
        """h, hn, cn = LSTM<hidden_size = 6>(x, w, r, b)
        q = Squeeze(h, one)
        y = MatMul(q, v)""",
        {
            "w": (1, 24, 4),
            "r": (1, 24, 6),
            "b": (1, 48),
            "v": (6, 5),
            "one": np.int64([1]),
        },
        {"x": (3, 2, 4)},
    ),
    "gru": Case(
        "float[S, N, 4] x",
        "float[S, N, 5] y",
        """h = GRU<hidden_size = 6>(x, w, r)
        q = Squeeze(h, one)
        y = MatMul(q, v)""",
        {"w": (1, 18, 4), "r": (1, 18, 6), "v": (6, 5), "one": np.int64([1])},
        {"x": (3, 2, 4)},
    ),
    "embedding": Case(
        "int64[N, S] ids",
        "float[N, S, 5] y",
        "e = Gather(table, ids) \n y = MatMul(e, w)",
        {"table": (10, 6), "w": (6, 5)},
        {"ids": np.int64([[1, 2, 3], [9, 0, 4]])},
    ),
    # Constants
    "weights as nodes": Case(
        X,
        "float[N, 2, H, W] y",
        """w = Constant<value = float[2, 3, 1, 1] {1.0, -0.5, 0.25, 0.7, 0.3, -1.0}>()
        i = Identity(w)
        j = Identity(i)
        c = Conv(x, j)
        y = Conv(c, v)""",
        {"v": (2, 2, 1, 1)},
    ),
    "equal weights under two names": _headed(
        "d = Conv(c, one) \n h = Conv(d, two)",
        {
            "one": np.ones((6, 6, 1, 1), np.float32) / 6,
            "two": np.ones((6, 6, 1, 1), np.float32) / 6,
        },
    ),
    "weights that are also added": _headed(
        "d = Conv(c, v) \n s = ReduceMax<keepdims = 1>(v) \n h = Add(d, s)",
        {"v": (6, 6, 1, 1)},
    ),
    "a constant that is split into a sequence": Case(
        "float[N, 6] x",
        "float[N, 4] y",
        """s = SplitToSequence<keepdims = 1>(k)
        t = ConcatFromSequence<axis = 0>(s)
        h = MatMul(x, w)
        y = Add(h, t)""",
        {"w": (6, 4), "k": (4,)},
        {"x": (3, 6)},
    ),
    "zero weights": _headed(
        "h = Conv(c, v)", {"v": np.zeros((6, 6, 1, 1), np.float32)}
    ),
    "weights in typed fields": _conv(change=_raw_fields),
    "initializers nobody uses": _headed("h = Relu(c)", {"unused": (3, 3)}),
    # Graphs
    "opset 7": _conv(opset=7, ir_version=3, change=_inputs_too),
    "opset 9": _headed(
        "n = BatchNormalization(c, gamma, beta, mean, var) \n h = Relu(n)",
        BATCH_NORM,
        opset=9,
        ir_version=4,
    ),
    "opset 11 with old clips": _headed(
        "h = Clip<min = 0.0, max = 6.0>(c)", opset=10, ir_version=5
    ),
    "opset 21": _conv(opset=21, ir_version=10),
    "opset 23": _conv(opset=23, ir_version=11),
    "batch fixed at one": Case(
        "float[1, 3, 8, 8] x",
        "float[1, 4, 6, 6] y",
        "c = Conv(x, w) \n y = Conv(c, w2)",
        {"w": (6, 3, 3, 3), "w2": (4, 6, 1, 1)},
        {"x": (1, 3, 8, 8)},
    ),
    "shapes that nobody tells": _conv(change=_no_shapes),
    "nodes without names": _conv(change=_nameless),
    "names of exporters": _conv(change=_slashes),
    "several inputs": Case(
        f"{X}, float[N, 6] z, int64[N] n",
        "float[N, 5] y, int64[N] m",
        """c = Conv(x, w, b)
        p = GlobalAveragePool(c)
        f = Flatten(p)
        s = Add(f, z)
        y = Gemm<transB = 1>(s, wh, bh)
        m = Identity(n)""",
        {**FIRST, **HEADED},
        {"x": (2, 3, 8, 8), "z": (2, 6), "n": np.int64([1, 2])},
    ),
    "an input that is an output": Case(
        "float[N, 6] x",
        "float[N, 5] y, float[N, 7] h, float[N, 6] x",
        "h = MatMul(x, w) \n r = Relu(h) \n y = MatMul(r, w2)",
        {"w": (6, 7), "w2": (7, 5)},
        {"x": (4, 6)},
    ),
    "one result twice": Case(
        X,
        "float[N, 4, H, W] y, float[N, 4, H, W] z",
        "c = Conv(x, w, b) \n y = Conv(c, w2) \n z = Identity(y)",
        {**FIRST, "w2": (4, 6, 1, 1)},
    ),
    "a branch inside": Case(
        f"{X}, bool p",
        "float[N, 4, H, W] y",
        """c = Conv(x, w, b)
        d = If(p) <then_branch = yes () => (float[N, 6, H, W] t) { t = Relu(c) },
            else_branch = no () => (float[N, 6, H, W] e) { e = Conv(c, v) }>
        y = Conv(d, w2)""",
        {**FIRST, "v": (6, 6, 1, 1), "w2": (4, 6, 1, 1)},
        {"x": (2, 3, 8, 8), "p": np.bool_(True)},
    ),
    "a loop inside": Case(
        "float[N, 6] x, int64 n",
        "float[N, 5] y",
        """h = Loop(n, , x) <body = step (int64 i, bool go, float[N, 6] s) =>
            (bool more, float[N, 6] t)
            { more = Identity(go) m = MatMul(s, v) t = Tanh(m) }>
        y = MatMul(h, w)""",
        {"v": (6, 6), "w": (6, 5)},
        {"x": (2, 6), "n": np.int64(3)},
    ),
    "a scan inside": Case(
        "float[T, 6] x",
        "float[T, 5] y",
        """s, h = Scan<num_scan_inputs = 1, body = step (float[6] a, float[6] b) =>
            (float[6] c, float[6] d) { c = Add(a, b) d = Tanh(c) }>(zero, x)
        y = MatMul(h, w)""",
        {"zero": np.zeros(6, np.float32), "w": (6, 5)},
        {"x": (4, 6)},
    ),
    "functions of its own": Case(
        X,
        "float[N, 4, H, W] y",
        "c = local.block(x, w, b) \n y = Conv(c, w2)",
        {**FIRST, "w2": (4, 6, 1, 1)},
        domains=', "local" : 1',
        more="""<domain: "local", opset_import: ["" : 17]>
        block (x, w, b) => (r) { c = Conv(x, w, b) \n r = Relu(c) }""",
    ),
    "operators of onnxruntime": Case(
        "float[N, 6] x",
        "float[N, 5] y",
        "h = MatMul(x, w) \n g = com.microsoft.Gelu(h) \n y = MatMul(g, w2)",
        {"w": (6, 7), "w2": (7, 5)},
        {"x": (4, 6)},
        domains=', "com.microsoft" : 1',
    ),
    "half precision": _conv(
        outputs="float[N, 4, H, W] y",
        change=_half(TensorProto.FLOAT16),
        feed={
            "x": np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float16)
        },
    ),
    "half precision in Constant nodes, between floats": Case(
        X,
        "float[N, 4, H, W] y",
        "z = Cast<to = 10>(x) \n c = Conv(z, w, b) \n r = Relu(c) \n q = Conv(r, w2)"
        " \n y = Cast<to = 1>(q)",
        {
            "w": np.linspace(-0.5, 0.6, 162).reshape(6, 3, 3, 3).astype(np.float16),
            "b": np.linspace(-1, 1, 6).astype(np.float16),
            "w2": np.linspace(0.3, -0.4, 24).reshape(4, 6, 1, 1).astype(np.float16),
        },
        change=_constant_nodes,
    ),
    "weights that are cast to half precision": Case(
        X,
        "float[N, 4, H, W] y",
        "z = Cast<to = 10>(x) \n k = Cast<to = 10>(w) \n c = Conv(z, k)"
        " \n y = Cast<to = 1>(c)",
        {"w": (4, 3, 3, 3)},
        refused="it answers in floats",
    ),
    "indices of maxima that are a result": Case(
        X,
        "float[N, 5] y, int64[N, 6, 7, 7] i",
        "c = Conv<pads = [1, 1, 1, 1]>(x, w, b)"
        " \n h, i = MaxPool<kernel_shape = [2, 2]>(c) \n d = Conv(h, k)"
        " \n f = GlobalAveragePool(d) \n g = Flatten(f)"
        " \n y = Gemm<transB = 1>(g, wh, bh)",
        {**FIRST, **HEADED, "k": (6, 6, 1, 1)},
    ),
    "a crop beyond the edges": _headed(
        'd = Resize<coordinate_transformation_mode = "tf_crop_and_resize",'
        " extrapolation_value = 50.0>(c, roi, , sizes) \n h = Conv(d, k)",
        {
            "k": (6, 6, 1, 1),
            "roi": np.float32([0, 0, -0.5, -0.5, 1, 1, 1.5, 1.5]),
            "sizes": np.int64([2, 6, 16, 16]),
        },
    ),
    "a constant result": Case(
        X,
        "float[N, 4, H, W] y, float[6] k",
        "c = Conv(x, w, b) \n y = Conv(c, w2) \n k = Relu(b)",
        {**FIRST, "w2": (4, 6, 1, 1)},
    ),
    "an empty batch": _conv(
        feed={"x": np.zeros((0, 3, 8, 8), np.float32)},
        refused="while calibrating 'x': statistics must have seen a finite value",
    ),
}
