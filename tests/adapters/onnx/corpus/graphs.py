"""Graphs: versions, shapes, names, branches, types."""

import numpy as np
from onnx import TensorProto

from tests.adapters.onnx.corpus.case import (
    BATCH_NORM,
    FIRST,
    HEADED,
    Case,
    X,
    conv,
    headed,
)
from tests.adapters.onnx.corpus.changes import (
    constant_nodes,
    half,
    inputs_too,
    nameless,
    no_shapes,
    slashes,
)

CASES = {
    "opset 7": conv(opset=7, ir_version=3, change=inputs_too),
    "opset 9": headed(
        "n = BatchNormalization(c, gamma, beta, mean, var) \n h = Relu(n)",
        BATCH_NORM,
        opset=9,
        ir_version=4,
    ),
    "opset 11 with old clips": headed(
        "h = Clip<min = 0.0, max = 6.0>(c)", opset=10, ir_version=5
    ),
    "opset 21": conv(opset=21, ir_version=10),
    "opset 23": conv(opset=23, ir_version=11),
    "batch fixed at one": Case(
        "float[1, 3, 8, 8] x",
        "float[1, 4, 6, 6] y",
        "c = Conv(x, w) \n y = Conv(c, w2)",
        {"w": (6, 3, 3, 3), "w2": (4, 6, 1, 1)},
        {"x": (1, 3, 8, 8)},
    ),
    "shapes that nobody tells": conv(change=no_shapes),
    "nodes without names": conv(change=nameless),
    "names of exporters": conv(change=slashes),
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
    "products in a scan": Case(
        "float[T, 6] x",
        "float[T, 5] y",
        """s, h = Scan<num_scan_inputs = 1, body = step (float[6] a, float[6] b) =>
            (float[6] c, float[6] d)
            { m = MatMul(a, v) c = Add(m, b) t = Tanh(c) d = MatMul(t, v) }>(zero, x)
        y = MatMul(h, w)""",
        {"zero": np.zeros(6, np.float32), "v": (6, 6), "w": (6, 5)},
        {"x": (4, 6)},
    ),
    "one name in two branches": Case(
        f"{X}, bool p",
        "float[N, 4, H, W] y",
        """d = If(p) <
            then_branch = yes () => (float[N, 6, H, W] t) { t = Conv(x, w, b) },
            else_branch = no () => (float[N, 6, H, W] t) { c = Conv(x, w, b)
                t = Relu(c) }>
        y = Conv(d, w2)""",
        {**FIRST, "w2": (4, 6, 1, 1)},
        {"x": (2, 3, 8, 8), "p": np.bool_(False)},
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
    "half precision": conv(
        outputs="float[N, 4, H, W] y",
        change=half(TensorProto.FLOAT16),
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
        change=constant_nodes,
    ),
    "weights that are cast to half precision": Case(
        X,
        "float[N, 4, H, W] y",
        "z = Cast<to = 10>(x) \n k = Cast<to = 10>(w) \n c = Conv(z, k)"
        " \n y = Cast<to = 1>(c)",
        {"w": (4, 3, 3, 3)},
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
    "a crop beyond the edges": headed(
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
    "an empty batch": conv(
        feed={"x": np.zeros((0, 3, 8, 8), np.float32)},
        refused="while calibrating 'x': statistics must have seen a finite value",
        by_all=True,
    ),
}
