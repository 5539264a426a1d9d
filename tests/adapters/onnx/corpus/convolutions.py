"""Convolutions of all kinds."""

from tests.adapters.onnx.corpus.case import Case, conv, headed

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
}
