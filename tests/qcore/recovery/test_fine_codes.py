"""Codes for inputs that have none."""

import numpy as np

from qcore import quantize
from qcore.recovery.fine_codes import fine_qparams


def test_the_largest_of_all_arrays_has_the_largest_code(xp, array, to_numpy):
    arrays = [array([0.5, -3.0], "float32"), array([[1.0]]), array([], "float32")]
    arrays = [xp.astype(x, xp.float32) for x in arrays]
    found = fine_qparams(iter(arrays), xp=xp)
    codes = quantize(arrays[0], found)
    assert to_numpy(codes).dtype == np.int16
    assert to_numpy(codes)[1] == -32767
    assert abs(to_numpy(codes)[0] - 0.5 * 32767 / 3) <= 0.5
