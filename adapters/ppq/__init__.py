"""ONNX models quantized by the names, states and passes of PPQ.

>>> from qcore.adapters import ppq
>>> graph = ppq.quantize_onnx_model("model.onnx", loader)  # doctest: +SKIP
>>> graph.tensors["x"].state, graph.tensors["x"].scale  # doctest: +SKIP
>>> graph.export("model.int8.onnx")  # doctest: +SKIP

What takes PyTorch models is in `qcore.adapters.ppq.torch`.
"""

from qcore.adapters.ppq.config import BiasQParams, TensorQuantizationConfig
from qcore.adapters.ppq.errors import PassOrderError
from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.observers import register_calibration_observer
from qcore.adapters.ppq.passes import (
    IsotoneCalibrationPass,
    ParameterBakingPass,
    ParameterQuantizePass,
    PassiveParameterQuantizePass,
    QuantizationOptimizationPass,
    RuntimeCalibrationPass,
)
from qcore.adapters.ppq.pipeline import QuantizationOptimizationPipeline
from qcore.adapters.ppq.platforms import TargetPlatform
from qcore.adapters.ppq.quantization import quantize_onnx_model
from qcore.adapters.ppq.setting import QuantizationSetting, QuantizationSettingFactory
from qcore.adapters.ppq.states import QuantizationStates, QuantizationVisibility

__all__ = [
    "BiasQParams",
    "IsotoneCalibrationPass",
    "ParameterBakingPass",
    "ParameterQuantizePass",
    "PassOrderError",
    "PassiveParameterQuantizePass",
    "QuantizationOptimizationPass",
    "QuantizationOptimizationPipeline",
    "QuantizationSetting",
    "QuantizationSettingFactory",
    "QuantizationStates",
    "QuantizationVisibility",
    "QuantizedGraph",
    "RuntimeCalibrationPass",
    "TargetPlatform",
    "TensorQuantizationConfig",
    "quantize_onnx_model",
    "register_calibration_observer",
]
