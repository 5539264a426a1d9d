"""The platforms of PPQ, and which rules of placement stand for them."""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from qcore.adapters.onnx.targets import ONNXRUNTIME, OPENVINO, TENSORRT, Target
from qcore.errors import QuantError


class TargetPlatform(Enum):
    """Where a model is to run; the names and numbers are PPQ's."""

    MNN_INT8 = 100
    TRT_INT8 = 101
    NCNN_INT8 = 102
    OPENVINO_INT8 = 103
    TENGINE_INT8 = 104
    TRT_FP8 = 105
    ASC_INT8 = 106
    PPL_CUDA_INT8 = 201
    PPL_CUDA_INT4 = 202
    PPL_CUDA_FP16 = 203
    PPL_CUDA_MIX = 204
    PPL_DSP_INT8 = 301
    SNPE_INT8 = 302
    PPL_DSP_TI_INT8 = 303
    QNN_DSP_INT8 = 304
    HOST_INT8 = 401
    NXP_INT8 = 501
    FPGA_INT8 = 502
    RKNN_INT8 = 601
    METAX_INT8_C = 701
    METAX_INT8_T = 702
    HEXAGON_INT8 = 801
    GRAPHCORE_FP8 = 901
    FP32 = 0
    FP16 = 1
    BF16 = 2
    FP8 = 3
    INT8 = 4
    SOI = -1
    UNSPECIFIED = -2
    BOUNDARY = -3
    ONNX = -4
    CAFFE = -5
    NATIVE = -6
    ONNXRUNTIME = -7
    EXTENSION = -10086

    SHAPE_OR_INDEX = SOI  # as it is called before version 0.6.6


PPL = Target(
    "ppl",
    ("Conv", "Gemm"),
    carries=True,
    symmetric=True,
    activations=("int8",),
    weights={"int8": ("int8",)},
    blocks=(),
    bias_codes=True,
)
"""That of PPLCUDAQuantizer: int8 about zero, weights by channel, biases in 32 bits."""


class Rules(NamedTuple):
    """Where codes go on a platform, and which codes activations get."""

    target: Target
    activation: str | None = None


PLATFORMS: Mapping[TargetPlatform, Rules] = {
    TargetPlatform.ONNXRUNTIME: Rules(ONNXRUNTIME),
    TargetPlatform.OPENVINO_INT8: Rules(OPENVINO),
    TargetPlatform.PPL_CUDA_INT8: Rules(PPL),
    TargetPlatform.TRT_FP8: Rules(TENSORRT, "float8_e4m3fn"),
    TargetPlatform.TRT_INT8: Rules(TENSORRT),
}

STAYS_FLOAT = frozenset(
    {
        TargetPlatform.FP32,
        TargetPlatform.SOI,
        TargetPlatform.BF16,
        TargetPlatform.FP16,
        TargetPlatform.PPL_CUDA_FP16,
    }
)
"""Where an operator may be dispatched to be left alone."""


def rules_of(platform: TargetPlatform, /) -> Rules:
    """
    Return the rules that stand for a platform.

    Raises
    ------
    TypeError
        If it is none.
    QuantError
        If there are none for it.
    """
    if not isinstance(platform, TargetPlatform):
        raise TypeError(f"`platform` must be a TargetPlatform; got {platform!r}.")
    if platform not in PLATFORMS:
        known = ", ".join(known.name for known in PLATFORMS)
        raise QuantError(
            f"`platform` must be one that qcore has rules for, {known}; "
            f"got {platform.name}."
        )
    return PLATFORMS[platform]
