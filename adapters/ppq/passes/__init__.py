"""The passes of PPQ: steps on the way of a model to codes."""

from qcore.adapters.ppq.passes.baking import ParameterBakingPass
from qcore.adapters.ppq.passes.base import QuantizationOptimizationPass
from qcore.adapters.ppq.passes.isotone import IsotoneCalibrationPass
from qcore.adapters.ppq.passes.parameters import ParameterQuantizePass
from qcore.adapters.ppq.passes.passive_parameters import PassiveParameterQuantizePass
from qcore.adapters.ppq.passes.runtime_calibration import RuntimeCalibrationPass

__all__ = [
    "IsotoneCalibrationPass",
    "ParameterBakingPass",
    "ParameterQuantizePass",
    "PassiveParameterQuantizePass",
    "QuantizationOptimizationPass",
    "RuntimeCalibrationPass",
]
