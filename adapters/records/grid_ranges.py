"""The ranges that codes reach, and codes that reach given ranges."""

import numpy as np

from qcore import QParams, QuantSpec, qparams_from_range
from qcore.adapters.records.tensors import (
    check_one_scale,
    integers,
    scales_of,
    zero_points_of,
)
from qcore.formats import IntFormat


def range_of(qparams: QParams, fmt: IntFormat, /) -> tuple[float, float]:
    """Return the ends of what codes of one scale stand for, in float64.

    Those of signed codes with the zero point 0 are ``±qmax * scale``: from no other
    range makes a toolkit the same scale.
    """
    scale, zero_point = float(scales_of(qparams)), int(zero_points_of(qparams))
    low = fmt.qmin
    if fmt.signed and zero_point == 0:
        low = -fmt.qmax
    return (low - zero_point) * scale, (fmt.qmax - zero_point) * scale


def ranged(low: float, high: float, spec: QuantSpec, /) -> QParams:
    """Return the 0-d `QParams` of numpy whose codes reach a range."""
    lo, hi = np.asarray(low, np.float32), np.asarray(high, np.float32)
    return qparams_from_range(lo, hi, spec)


def respecified(name: str, qparams: QParams, spec: QuantSpec, /) -> QParams:
    """
    Return qparams of other codes that reach the same range.

    Raises
    ------
    QuantError
        If there are several scales or codes are floats.
    """
    title = "range per tensor"
    check_one_scale(name, qparams, title)
    return ranged(*range_of(qparams, integers(name, qparams, title)), spec)
