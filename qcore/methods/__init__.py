"""Calibration methods: from statistics to the range that codes shall span."""

from qcore.methods.auto import auto
from qcore.methods.constant import constant
from qcore.methods.entropy import entropy
from qcore.methods.floating import floating
from qcore.methods.hfmg import hfmg
from qcore.methods.ifmr import ifmr
from qcore.methods.isotone import isotone
from qcore.methods.minmax import minmax, moving_average
from qcore.methods.mse import mse
from qcore.methods.percentile import percentile
from qcore.methods.registry import methods, register_method

__all__ = [
    "auto",
    "constant",
    "entropy",
    "floating",
    "hfmg",
    "ifmr",
    "isotone",
    "methods",
    "minmax",
    "moving_average",
    "mse",
    "percentile",
    "register_method",
]
