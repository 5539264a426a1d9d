"""Products of matrices, and what holds some."""

import numpy as np

from tests.adapters.onnx.corpus.case import (
    Case,
)

CASES = {
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
    "products of what is computed": Case(
        "float[4, 6] x, float[6, 5] z",
        "float[4, 3] y",
        "h = Gemm(x, z, b) \n y = MatMul(h, w)",
        {"b": (5,), "w": (5, 3)},
        {"x": (4, 6), "z": (6, 5)},
    ),
    "gemm of a constant first": Case(
        "float[6, 4] x",
        "float[5, 3] y",
        "h = Gemm<alpha = 2.0, transB = 0>(w, x, b) \n y = MatMul(h, w2)",
        {"w": (5, 6), "b": (4,), "w2": (4, 3)},
        {"x": (6, 4)},
    ),
    "einsum into heads and out of them": Case(
        "float[N, S, 6] x",
        "float[N, S, 5] y",
        """q = Einsum<equation = "bsi,ihd->bhsd">(x, wq)
        k = Einsum<equation = "bsi,ihd->bhsd">(x, wk)
        s = Einsum<equation = "bhqd,bhkd->bhqk">(q, k)
        p = Softmax(s)
        a = Einsum<equation = "bhqk,bhkd->bqhd">(p, q)
        y = Einsum<equation = "bqhd,hdo->bqo">(a, wo)""",
        {"wq": (6, 2, 4), "wk": (6, 2, 4), "wo": (2, 4, 5)},
        {"x": (2, 3, 6)},
    ),
    "einsum with an ellipsis": Case(
        "float[2, 3, 6] x",
        "float[2, 3, 5] y",
        'y = Einsum<equation = "... i, o i -> ... o">(x, w)',
        {"w": (5, 6)},
        {"x": (2, 3, 6)},
    ),
    "einsum that is no matmul": Case(
        "float[N, 6] x",
        "float[N, 6] y",
        'y = Einsum<equation = "ni,i->ni">(x, w)',
        {"w": (6,)},
        {"x": (2, 6)},
        refused="Einsum '.*' stays float: onnxruntime has no integer kernel for it",
        by_all=True,
    ),
    "scaled after the product, shifted before": Case(
        "float[N, 6] x",
        "float[N, 5] y",
        """n = Sub(x, mean)
        d = Div(n, deviation)
        h = MatMul(d, w)
        m = Mul(h, half)
        s = Sub(one, m)
        r = Relu(s)
        y = MatMul(r, w2)""",
        {
            "mean": (6,),
            "deviation": np.float32([1, 2, 0.5, 1, 2, 0.7]),
            "w": (6, 7),
            "half": np.float32([[0.5]]),
            "one": np.float32(1),
            "w2": (7, 5),
        },
        {"x": (4, 6)},
    ),
}
