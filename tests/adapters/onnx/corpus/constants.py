"""Weights in every form that files have them in."""

import numpy as np

from tests.adapters.onnx.corpus.case import (
    Case,
    X,
    conv,
    headed,
)
from tests.adapters.onnx.corpus.changes import (
    raw_fields,
)

CASES = {
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
    "equal weights under two names": headed(
        "d = Conv(c, one) \n h = Conv(d, two)",
        {
            "one": np.ones((6, 6, 1, 1), np.float32) / 6,
            "two": np.ones((6, 6, 1, 1), np.float32) / 6,
        },
    ),
    "weights that are also added": headed(
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
    "zero weights": headed("h = Conv(c, v)", {"v": np.zeros((6, 6, 1, 1), np.float32)}),
    "weights in typed fields": conv(change=raw_fields),
    "initializers nobody uses": headed("h = Relu(c)", {"unused": (3, 3)}),
}
