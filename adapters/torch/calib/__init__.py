"""Calibrators, under the module names of pytorch-quantization."""

from qcore.adapters.torch.calib.calibrator import _Calibrator
from qcore.adapters.torch.calib.histogram import HistogramCalibrator, calibrate_weights
from qcore.adapters.torch.calib.max import MaxCalibrator

__all__ = ["HistogramCalibrator", "MaxCalibrator", "_Calibrator", "calibrate_weights"]
