"""One quantization engine for every array library."""

from qcore.affine import dequantize, fake_quantize, quantize
from qcore.block_formats import block_spec
from qcore.calibrate import calibrate, compute_range
from qcore.comparison import Comparison, compare_methods
from qcore.errors import (
    FileFormatError,
    NoDataError,
    NonFiniteError,
    QuantError,
    ShardError,
    StatisticsError,
    UnknownFormatError,
    UnknownMethodError,
)
from qcore.expected_error import expected_error
from qcore.files import load, save
from qcore.formats import FloatFormat, IntFormat, parse_format
from qcore.gradient import straight_through
from qcore.granularity import PerBlock, PerChannel, PerTensor
from qcore.merging import merge_files
from qcore.methods import methods, register_method
from qcore.pack import pack, unpack
from qcore.qparams import qparams_from_amax, qparams_from_data, qparams_from_range
from qcore.qparams_files import load_qparams, save_qparams
from qcore.reduce import reduce_amax, reduce_range
from qcore.scale_formats import decode_scales, encode_scales
from qcore.shards import Shards
from qcore.spec import QParams, QuantSpec
from qcore.statistics import (
    Gram,
    Histogram,
    Moments,
    MovingRange,
    Range,
    Top2,
    Window,
    stack,
    unstack,
)
from qcore.tensor_quant import fake_tensor_quant, tensor_quant
from qcore.weights import mean_ratio, qparams_from_weights

__all__ = [
    "Comparison",
    "FileFormatError",
    "FloatFormat",
    "Gram",
    "Histogram",
    "IntFormat",
    "Moments",
    "MovingRange",
    "NoDataError",
    "NonFiniteError",
    "PerBlock",
    "PerChannel",
    "PerTensor",
    "QParams",
    "QuantError",
    "QuantSpec",
    "Range",
    "ShardError",
    "Shards",
    "StatisticsError",
    "Top2",
    "UnknownFormatError",
    "UnknownMethodError",
    "Window",
    "block_spec",
    "calibrate",
    "compare_methods",
    "compute_range",
    "decode_scales",
    "dequantize",
    "encode_scales",
    "expected_error",
    "fake_quantize",
    "fake_tensor_quant",
    "load",
    "load_qparams",
    "mean_ratio",
    "merge_files",
    "methods",
    "pack",
    "parse_format",
    "qparams_from_amax",
    "qparams_from_data",
    "qparams_from_range",
    "qparams_from_weights",
    "quantize",
    "reduce_amax",
    "reduce_range",
    "register_method",
    "save",
    "save_qparams",
    "stack",
    "straight_through",
    "tensor_quant",
    "unpack",
    "unstack",
]
