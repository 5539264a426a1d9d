"""Calibration methods: from statistics to the range that codes shall span."""

from qcore.methods.entropy import entropy
from qcore.methods.isotone import isotone
from qcore.methods.minmax import minmax, moving_average
from qcore.methods.mse import mse
from qcore.methods.percentile import percentile
from qcore.methods.registry import methods, register_method

__all__ = [
    "entropy",
    "isotone",
    "methods",
    "minmax",
    "moving_average",
    "mse",
    "percentile",
    "register_method",
]
