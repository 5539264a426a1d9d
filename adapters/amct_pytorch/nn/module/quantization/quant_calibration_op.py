"""`QuantCalibrationOp`, where AMCT has it."""

from qcore.adapters.torch.amct.quant_calibration_op import QuantCalibrationOp

__all__ = ["QuantCalibrationOp"]
