"""What recovery gives a layer."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Change:
    """Other codes, and what is added to the products.

    Attributes
    ----------
    codes : array or None
        Of the weight, as it is stored; None where they stay.
    bias : array
        float64 ``[outputs]``: the bias of a convolution or a Gemm, or what is added
        behind a MatMul.
    """

    codes: np.ndarray | None
    bias: np.ndarray
