"""Qparams of weights that are rearranged."""

import numpy as np
import pytest

from qcore import (
    PerBlock,
    PerChannel,
    PerTensor,
    QuantSpec,
    dequantize,
    qparams_from_data,
    quantize,
)
from qcore.recovery.each_weight import each_weight

WEIGHT = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)


@pytest.mark.parametrize("granularity", [PerTensor(), PerChannel(1), PerBlock(0, 3)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_rearranged_weights_stand_for_the_same_numbers(
    xp, array, to_numpy, granularity, symmetric
):
    def by_output(x):
        return xp.reshape(xp.permute_dims(x, (1, 0)), (6, 2, 2))

    spec = QuantSpec("int8", granularity, symmetric=symmetric)
    weight = array(WEIGHT)
    qparams = qparams_from_data(weight, spec)
    each = each_weight(qparams, WEIGHT.shape, by_output, xp=xp)
    rows = by_output(weight)
    found = dequantize(quantize(rows, each), each)
    wanted = by_output(dequantize(quantize(weight, qparams), qparams))
    np.testing.assert_array_equal(to_numpy(found), to_numpy(wanted))
