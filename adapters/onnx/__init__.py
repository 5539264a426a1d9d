"""ONNX models: calibrate them through ONNX Runtime, quantize them to QDQ form.

>>> from qcore.adapters import onnx
>>> statistics = onnx.calibrate("model.onnx", "calibration.npz")  # doctest: +SKIP
>>> quantized = onnx.quantize("model.onnx", statistics)  # doctest: +SKIP
>>> onnx.save(quantized, "model.int8.onnx")  # doctest: +SKIP
"""

from qcore.adapters.onnx.bits import spend_bits
from qcore.adapters.onnx.calibration import calibrate, calibrate_shard
from qcore.adapters.onnx.comparison.comparison import (
    ModelComparison,
    compare,
    compare_each,
)
from qcore.adapters.onnx.comparison.pair import TensorComparison
from qcore.adapters.onnx.data.images import ImageFolder
from qcore.adapters.onnx.data.texts import TextFile
from qcore.adapters.onnx.files.model_file import load, save
from qcore.adapters.onnx.inspection.description import Description, inspect
from qcore.adapters.onnx.planning.plan import KeptFloat, Plan
from qcore.adapters.onnx.planning.planning import plan
from qcore.adapters.onnx.quantization import quantize
from qcore.adapters.onnx.sweeping import Sweep, Trial, sweep

__all__ = [
    "Description",
    "ImageFolder",
    "KeptFloat",
    "ModelComparison",
    "Plan",
    "Sweep",
    "TensorComparison",
    "TextFile",
    "Trial",
    "calibrate",
    "calibrate_shard",
    "compare",
    "compare_each",
    "inspect",
    "load",
    "plan",
    "quantize",
    "save",
    "spend_bits",
    "sweep",
]
