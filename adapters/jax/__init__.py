"""Quantization of any JAX function, by transforms."""

from qcore.adapters.jax.calibration import calibrate
from qcore.adapters.jax.config import Config
from qcore.adapters.jax.export import export
from qcore.adapters.jax.fake_quantize import fake_quantize
from qcore.adapters.jax.kv_cache import KVCache
from qcore.adapters.jax.onnx.export import export_onnx
from qcore.adapters.jax.parameters import dequantize, nbytes, quantize_params
from qcore.adapters.jax.quantized_array import QuantizedArray
from qcore.adapters.jax.quantized_dots import quantized_dots
from qcore.adapters.jax.recovery.recover import Recovered, recover
from qcore.adapters.jax.recovery.smooth import smooth
from qcore.adapters.jax.sites import Site, sites
from qcore.adapters.jax.statistics import sync_statistics
from qcore.adapters.jax.transforms import collect, fake_quant
from qcore.adapters.jax.weight_qparams import weight_qparams

__all__ = [
    "Config",
    "KVCache",
    "QuantizedArray",
    "Recovered",
    "Site",
    "calibrate",
    "collect",
    "dequantize",
    "export",
    "export_onnx",
    "fake_quant",
    "fake_quantize",
    "nbytes",
    "quantize_params",
    "quantized_dots",
    "recover",
    "sites",
    "smooth",
    "sync_statistics",
    "weight_qparams",
]
