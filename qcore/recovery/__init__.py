"""What wins back accuracy that rounding has cost."""

from qcore.recovery.absorb_bias import absorb_bias
from qcore.recovery.awq import ActivationAware, awq
from qcore.recovery.bias_correction import bias_correction, expected_bias_correction
from qcore.recovery.bias_grid import round_bias
from qcore.recovery.equalize import Equalized, equalize
from qcore.recovery.gptq import gptq
from qcore.recovery.mixed_precision import mixed_precision
from qcore.recovery.output_error import output_error, output_shift
from qcore.recovery.smooth_quant import Smoothed, smooth_quant

__all__ = [
    "ActivationAware",
    "Equalized",
    "Smoothed",
    "absorb_bias",
    "awq",
    "bias_correction",
    "equalize",
    "expected_bias_correction",
    "gptq",
    "mixed_precision",
    "output_error",
    "output_shift",
    "round_bias",
    "smooth_quant",
]
