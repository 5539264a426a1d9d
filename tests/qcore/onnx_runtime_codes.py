"""Codes of ONNX Runtime, from models of one node, and values that are hard to round."""

from functools import cache

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from qcore import QParams, parse_format

SCALE = np.float32(0.0371)
FORMATS = [
    ("int8", 0),
    ("int8", -7),
    ("uint8", 0),
    ("uint8", 131),
    ("int16", 0),
    ("uint16", 32768),
    ("int4", 0),
    ("uint4", 9),
    ("float8_e4m3fn", 0),
    ("float8_e5m2", 0),
]
MINIFLOATS = ["float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"]


@cache
def samples():
    """Return 2^20 float32: ties, their neighbours, subnormals, any bits, the ends."""
    rng = np.random.default_rng(0)
    ties = (np.arange(-(2**17), 2**17) / 2).astype(np.float32) * SCALE
    parts = [
        ties,
        np.nextafter(ties, np.float32(np.inf)),
        (rng.standard_normal(2**17) * 3).astype(np.float32),
        rng.integers(1, 2**23, 2**16).astype(np.uint32).view(np.float32),
        np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 3.4e38, -3.4e38]),
    ]
    missing = 2**20 - sum(map(len, parts))
    bits = rng.integers(0, 2**32, missing, dtype=np.uint64).astype(np.uint32)
    return np.concatenate([*parts, bits.view(np.float32)])


def onnx_codes(x, scale, zero_point, name, axis=None):
    """Return what ONNX Runtime's QuantizeLinear makes of `x`."""
    fmt = parse_format(name)
    is_float = name.startswith("float")
    kind = getattr(TensorProto, name.upper().replace("_", ""))
    # Types that NumPy lacks come out cast to one that holds all of their values.
    wide = TensorProto.FLOAT if is_float else kind
    wide = TensorProto.INT8 if fmt.bits < 8 and not is_float else wide
    shape = np.shape(scale)
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], axis=axis),
            helper.make_node("Cast", ["q"], ["y"], to=wide),
        ],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", wide, x.shape)],
        [
            helper.make_tensor("s", TensorProto.FLOAT, shape, np.ravel(scale)),
            helper.make_tensor("z", kind, shape, np.ravel(zero_point)),
        ],
    )
    opset = [helper.make_opsetid("", 21)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (y,) = session.run(None, {"x": x})
    if is_float:  # back to the codes, exactly
        return y.astype(getattr(ml_dtypes, name)).view(np.uint8)
    return y.astype(fmt.storage)


@cache
def onnx_sample_codes(name, zero_point):
    return onnx_codes(samples(), SCALE, zero_point, name)


def qparams(array, scale, zero_point, spec):
    zero_point = np.broadcast_to(np.int32(zero_point), np.shape(scale))
    return QParams(array(np.float32(scale)), array(zero_point), spec)
