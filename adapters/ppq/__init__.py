"""ONNX models quantized by the names, states and passes of PPQ.

>>> from qcore.adapters import ppq
>>> graph = ppq.QuantizedGraph("model.onnx")  # doctest: +SKIP
>>> ppq.RuntimeCalibrationPass("kl").optimize(graph, samples)  # doctest: +SKIP
>>> ppq.PassiveParameterQuantizePass().optimize(graph)  # doctest: +SKIP
>>> graph.export("model.int8.onnx")  # doctest: +SKIP
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
from qcore.adapters.ppq.platforms import TargetPlatform
from qcore.adapters.ppq.states import QuantizationStates, QuantizationVisibility

__all__ = [
    "BiasQParams",
    "IsotoneCalibrationPass",
    "ParameterBakingPass",
    "ParameterQuantizePass",
    "PassOrderError",
    "PassiveParameterQuantizePass",
    "QuantizationOptimizationPass",
    "QuantizationStates",
    "QuantizationVisibility",
    "QuantizedGraph",
    "RuntimeCalibrationPass",
    "TargetPlatform",
    "TensorQuantizationConfig",
    "register_calibration_observer",
]
