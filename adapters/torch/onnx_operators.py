"""stub for now"""


def quantize_dequantize(x, qparams):
    raise NotImplementedError
