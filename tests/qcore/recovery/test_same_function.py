"""What moved factors may change."""

import numpy as np
import pytest

from qcore import QuantError
from qcore.recovery.same_function import check_none_lost, digits_lost

BEFORE = np.asarray([4.0, -1.0, np.inf, np.nan], np.float32)


def test_one_is_half_of_the_digits(xp, array, to_numpy):
    after = BEFORE + np.asarray([0.25, -0.5, 0, 0], np.float32)
    found = digits_lost(array(BEFORE), array(after), 2.0**-6, xp=xp)
    assert to_numpy(found) == 0.5 / 4 / 2.0**-3
    assert to_numpy(found).dtype == np.float64


def test_what_was_not_finite_may_become_so(xp, array, to_numpy):
    found = digits_lost(array(BEFORE), array(np.nan_to_num(BEFORE)), 1e-7, xp=xp)
    assert to_numpy(found) == 0


@pytest.mark.parametrize("lost", [1.001, np.nan, np.inf])
def test_more_than_half_is_refused(lost):
    check_none_lost("f", [0.0, 1.0])
    with pytest.raises(QuantError, match="`f` must compute the same as before"):
        check_none_lost("f", [0.0, lost])


def test_outputs_of_zero_and_of_nothing_are_the_same(xp, array, to_numpy):
    for shape in ((3,), (0, 2)):
        zeros = array(np.zeros(shape, np.float32))
        assert to_numpy(digits_lost(zeros, zeros, 1e-7, xp=xp)) == 0
