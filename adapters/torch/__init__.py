"""Quantization of PyTorch models.

The module names are those of pytorch-quantization, whose users change the prefix of
their imports: `tensor_quant`, `nn`, `calib`, `quant_modules`, `optim`, `utils`. The
functions here do in one call what took a page.
"""

from qcore.adapters.torch.calibration import calibrate, collect, load_ranges
from qcore.adapters.torch.config import read_config
from qcore.adapters.torch.distributed import sync, sync_statistics
from qcore.adapters.torch.functional_hook import quantize_functions
from qcore.adapters.torch.kv_cache import KVCache
from qcore.adapters.torch.onnx_export import enable_onnx_export, export_onnx
from qcore.adapters.torch.presets import PRESETS
from qcore.adapters.torch.quant_calibration_op import QuantCalibrationOp
from qcore.adapters.torch.quantize import quantize
from qcore.adapters.torch.residuals import quantize_residuals
from qcore.adapters.torch.saving import restore, save, saved_config
from qcore.adapters.torch.sensitivity import sensitivity
from qcore.adapters.torch.summary import print_summary, summary

__all__ = [
    "PRESETS",
    "KVCache",
    "QuantCalibrationOp",
    "calibrate",
    "collect",
    "enable_onnx_export",
    "export_onnx",
    "load_ranges",
    "print_summary",
    "quantize",
    "quantize_functions",
    "quantize_residuals",
    "read_config",
    "restore",
    "save",
    "saved_config",
    "sensitivity",
    "summary",
    "sync",
    "sync_statistics",
]
