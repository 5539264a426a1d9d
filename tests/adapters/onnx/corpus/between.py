"""What lies between products."""

import numpy as np

from tests.adapters.onnx.corpus.case import (
    BATCH_NORM,
    FIRST,
    HEADED,
    Case,
    X,
    headed,
)

CASES = {
    "batch normalization after": headed(
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
    "two batch normalizations of one convolution": headed(
        """n = BatchNormalization(c, gamma, beta, mean, var)
        m = BatchNormalization(c, beta, gamma, mean, var)
        h = Add(n, m)""",
        BATCH_NORM,
    ),
    "weights that two convolutions share": headed(
        """d = Conv<pads = [1, 1, 1, 1]>(c, v)
        n = BatchNormalization(d, gamma, beta, mean, var)
        h = Conv<pads = [1, 1, 1, 1]>(n, v)""",
        {**BATCH_NORM, "v": (6, 6, 3, 3)},
    ),
    "clip to six": headed(
        "h = Clip(c, zero, six)",
        {"zero": np.float32(0), "six": np.float32(6)},
    ),
    "clip with one bound": headed("h = Clip(c, , six)", {"six": np.float32(1)}),
    "leaky": headed("h = LeakyRelu<alpha = 0.1>(c)"),
    "hard swish": headed("h = HardSwish(c)"),
    "swish by hand": headed("s = Sigmoid(c) \n h = Mul(c, s)"),
    "gelu": headed("h = Gelu(c)", opset=20),
    "prelu": headed(
        "h = PRelu(c, slope)", {"slope": np.full((6, 1, 1), 0.2, np.float32)}
    ),
    "residual": headed(
        "d = Conv<pads = [1, 1, 1, 1]>(c, v) \n s = Add(d, c) \n h = Relu(s)",
        {"v": (6, 6, 3, 3)},
    ),
    "a branch added to itself": headed("h = Add(c, c)"),
    "minus and times": headed("r = Relu(c) \n d = Sub(c, r) \n h = Mul(d, r)"),
    "scaled by a constant": headed("h = Mul(c, two)", {"two": np.float32(2)}),
    "pools": headed(
        """p = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(c)
        a = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(p)
        q = GlobalMaxPool(a)
        h = Add(a, q)"""
    ),
    "a pool with holes": headed(
        "a = AveragePool<kernel_shape = [2, 2], dilations = [2, 2]>(c)"
        " \n h = Conv(a, v)",
        {"v": (6, 6, 1, 1)},
        opset=19,
        ir_version=9,
    ),
    "maximum with its place": headed(
        "m, i = MaxPool<kernel_shape = [2, 2]>(c) \n h = Relu(m)"
    ),
    "joined and split": headed(
        """r = Relu(c)
        j = Concat<axis = 1>(c, r)
        h, k = Split<axis = 1>(j, parts)""",
        {"parts": np.int64([6, 6])},
    ),
    "joined with itself": headed(
        "j = Concat<axis = 1>(c, c) \n h = Conv(j, v)", {"v": (6, 12, 1, 1)}
    ),
    "joined with a constant": headed(
        "j = Concat<axis = 2>(c, k) \n h = Conv(j, v)",
        {"v": (6, 6, 1, 1), "k": np.ones((2, 6, 1, 8), np.float32)},
    ),
    "resized": headed(
        'h = Resize<mode = "nearest">(c, , scales)',
        {"scales": np.float32([1, 1, 2, 2])},
    ),
    "resized between": headed(
        'h = Resize<mode = "linear">(c, , scales)',
        {"scales": np.float32([1, 1, 1.5, 1.5])},
    ),
    "padded": headed("h = Pad(c, pads)", {"pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1])}),
    "depth to space": Case(
        X,
        "float[N, 2, H, W] y",
        "c = Conv(x, w) \n d = DepthToSpace<blocksize = 2>(c) \n y = Conv(d, w2)",
        {"w": (8, 3, 3, 3), "w2": (2, 2, 1, 1)},
    ),
    "moved about": headed(
        """t = Transpose<perm = [0, 2, 3, 1]>(c)
        s = Slice(t, starts, ends, axes)
        u = Transpose<perm = [0, 3, 1, 2]>(s)
        h = Identity(u)""",
        {"starts": np.int64([1]), "ends": np.int64([7]), "axes": np.int64([1])},
    ),
    "a shape that is computed": headed(
        """shape = Shape(c)
        flat = Reshape(c, minus)
        h = Reshape(flat, shape)""",
        {"minus": np.int64([-1])},
    ),
    "dropped out": headed("h, mask = Dropout(c)"),
    "normalized by instance": headed(
        "h = InstanceNormalization(c, gamma, beta)",
        {"gamma": np.ones(6, np.float32), "beta": (6,)},
    ),
    "averaged over axes": headed(
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
    "batch normalization alone, and after a sum": headed(
        """n = BatchNormalization(c, gamma, beta, mean, var)
        s = Add(c, n)
        h = BatchNormalization(s, gamma, beta, mean, var)""",
        BATCH_NORM,
    ),
    "batch normalization in front of groups": headed(
        """r = Relu(c)
        n = BatchNormalization(r, gamma, beta, mean, var)
        h = Conv<group = 2>(n, v, bh6)""",
        {**BATCH_NORM, "v": (6, 3, 3, 3), "bh6": (6,)},
    ),
    "batch normalization that learns": headed(
        "h = BatchNormalization<training_mode = 1>(c, gamma, beta, mean, var)",
        BATCH_NORM,
        refused="BatchNormalization of 'h' is in training mode",
        by_all=True,
    ),
    "constants before and after": headed(
        """m = Div(c, two)
        s = Sub(one, m)
        r = Relu(s)
        t = Mul(r, row)
        u = Conv(t, v)
        h = Add(u, row)""",
        {
            "two": np.float32(2),
            "one": np.float32([[[1]]]),
            "row": np.linspace(-1, 1.5, 6, dtype=np.float32).reshape(1, 6, 1, 1),
            "v": (6, 6, 1, 1),
        },
    ),
    "divided by zero": headed(
        "d = Div(c, zero) \n e = Atan(d) \n h = Conv(e, v)",
        {"zero": np.zeros(1, np.float32), "v": (6, 6, 1, 1)},
    ),
    "averaged as pool": Case(
        X,
        "float[N, 5] y",
        "c = Conv(x, w, b) \n g = ReduceMean<axes = [-1, 2], keepdims = 0>(c)"
        " \n y = Gemm<transB = 1>(g, wh, bh)",
        {**FIRST, **HEADED},
    ),
    "normalized by groups": headed(
        "h = GroupNormalization<num_groups = 2>(c, gamma, beta)",
        {"gamma": np.ones(6, np.float32), "beta": (6,)},
        opset=21,
    ),
    "tanh and its friends": headed(
        "t = Tanh(c) \n e = Erf(t) \n s = HardSigmoid(e) \n u = Elu(s)"
        " \n h = Softmax<axis = 1>(u)"
    ),
    "smallest and picked": headed(
        "m = ReduceMin<axes = [3]>(c) \n h = GatherElements<axis = 2>(m, places)",
        {"places": np.int64([0, 3, 1, 2] * 12).reshape(2, 6, 4, 1)},
    ),
}
