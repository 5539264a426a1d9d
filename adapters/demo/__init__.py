"""A small network, digits to calibrate and score it, and a comparison of methods."""

from qcore.adapters.demo.compare import Row, collect, compare
from qcore.adapters.demo.digits import Digits, load_digits

__all__ = ["Digits", "Row", "collect", "compare", "load_digits"]
