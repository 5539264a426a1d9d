"""What wins back accuracy that rounding has cost."""

from qcore.recovery.bias_correction import bias_correction, expected_bias_correction
from qcore.recovery.bias_grid import round_bias

__all__ = ["bias_correction", "expected_bias_correction", "round_bias"]
