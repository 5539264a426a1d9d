"""Convolutions of all kinds."""

import numpy as np

from tests.adapters.onnx.corpus.case import FIRST, Case, X, conv, headed

CASES = {
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
    "strides, dilations, pads that differ": conv(
        "strides = [2, 1], dilations = [1, 2], pads = [0, 1, 2, 3]"
    ),
    "auto_pad": conv('auto_pad = "SAME_UPPER", strides = [2, 2]'),
    "grouped": Case(
        "float[N, 4, 8, 8] x",
        "float[N, 4, H, W] y",
        "c = Conv<group = 2>(x, w) \n y = Conv<group = 4>(c, w2)",
        {"w": (4, 2, 3, 3), "w2": (4, 1, 3, 3)},
        {"x": (2, 4, 8, 8)},
    ),
    "transposed": headed(
        "h = ConvTranspose<strides = [2, 2], output_padding = [1, 1]>(c, v, b)",
        {"v": (6, 6, 3, 3)},
    ),
    "transposed in groups": headed(
        "h = ConvTranspose<group = 2>(c, v)", {"v": (6, 3, 2, 2)}
    ),
    "with a kernel that is computed": Case(
        "float[N, 3, 8, 8] x, float[4, 3, 3, 3] k",
        "float[N, 5, 6, 6] y",
        "c = Conv(x, k, b) \n y = Conv(c, w)",
        {"b": (4,), "w": (5, 4, 1, 1)},
        {"x": (2, 3, 8, 8), "k": (4, 3, 3, 3)},
    ),
    "padded by an operator of its own": headed(
        "p = Pad(c, pads) \n h = Conv<pads = [0, 0, 1, 1]>(p, v)",
        {"pads": np.int64([0, 0, 1, 1, 0, 0, 0, 1]), "v": (6, 6, 3, 3)},
    ),
    "padded with ones": headed(
        "p = Pad(c, pads, one) \n h = Conv(p, v)",
        {
            "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
            "one": np.float32(1),
            "v": (6, 6, 3, 3),
        },
    ),
    "of pixels that are normalized first": Case(
        X,
        "float[N, 4, H, W] y",
        "n = Sub(x, mean) \n d = Div(n, deviation) \n c = Conv(d, w, b)"
        " \n y = Conv(c, v)",
        {
            "mean": (3, 1, 1),
            "deviation": np.float32([[[[0.5]], [[0.7]], [[2]]]]),
            **FIRST,
            "v": (4, 6, 1, 1),
        },
    ),
    "of pixels that are normalized and padded": Case(
        X,
        "float[N, 4, H, W] y",
        "n = Sub(x, mean) \n d = Mul(n, factor) \n c = Conv<pads = [1, 1, 1, 1]>(d, w)"
        " \n y = Conv(c, v)",
        {
            "mean": (3, 1, 1),
            "factor": np.float32(0.5),
            "w": (6, 3, 3, 3),
            "v": (4, 6, 1, 1),
        },
    ),
}
