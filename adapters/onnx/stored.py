"""Constants in codes, as a DequantizeLinear reads them."""

from typing import NamedTuple

import numpy as np


class Stored(NamedTuple):
    """A constant as ``(codes - zero_point) * scale``, as DequantizeLinear has it.

    Scale and zero point have shape ``[]``, or ``[channels]`` along the axis, or that of
    the codes with the blocks along the axis counted; no zero point is 0.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray | None
    axis: int | None = None
    block: int | None = None
