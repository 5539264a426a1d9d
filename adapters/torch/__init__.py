"""Quantization of PyTorch models.

The module names are those of pytorch-quantization, whose users change the prefix of
their imports: `tensor_quant`, `nn`, `calib`, `quant_modules`, `optim`, `utils`. The
functions here do in one call what took a page.
"""

from qcore.adapters.torch import calib, nn, optim, quant_modules, tensor_quant, utils
from qcore.adapters.torch.amct.quant_calibration_op import QuantCalibrationOp
from qcore.adapters.torch.calibration.model import calibrate, collect, load_ranges
from qcore.adapters.torch.configuration.presets import PRESETS
from qcore.adapters.torch.configuration.reading import read_config
from qcore.adapters.torch.kv_cache.cache import KVCache
from qcore.adapters.torch.onnx.export import enable_onnx_export, export_onnx
from qcore.adapters.torch.quantize import quantize
from qcore.adapters.torch.recovery.biases import correct_biases
from qcore.adapters.torch.recovery.recover import recover
from qcore.adapters.torch.recovery.smooth import smooth
from qcore.adapters.torch.rewriting.functional_hook import quantize_functions
from qcore.adapters.torch.rewriting.residuals import quantize_residuals
from qcore.adapters.torch.saving.files import restore, save, saved_config
from qcore.adapters.torch.sensitivity import sensitivity
from qcore.adapters.torch.summary import print_summary, summary
from qcore.adapters.torch.synchronization.distributed import sync, sync_statistics

__all__ = [
    "PRESETS",
    "KVCache",
    "QuantCalibrationOp",
    "calib",
    "calibrate",
    "collect",
    "correct_biases",
    "enable_onnx_export",
    "export_onnx",
    "load_ranges",
    "nn",
    "optim",
    "print_summary",
    "quant_modules",
    "quantize",
    "quantize_functions",
    "quantize_residuals",
    "read_config",
    "recover",
    "restore",
    "save",
    "saved_config",
    "sensitivity",
    "smooth",
    "summary",
    "sync",
    "sync_statistics",
    "tensor_quant",
    "utils",
]
