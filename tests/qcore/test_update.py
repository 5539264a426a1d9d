"""A batch has the library and device of the state that it updates."""

import numpy as np
import pytest

from qcore import Histogram, MovingRange, Range

X = np.asarray([-3, 1, 2], np.float32)

pytestmark = pytest.mark.parametrize("kind", [Histogram, MovingRange, Range])


def test_a_batch_of_another_library_is_refused(xp, array, kind):
    other = X
    if xp.__name__.removeprefix("array_api_compat.") == "numpy":
        other = pytest.importorskip("array_api_strict").asarray(X)
    with pytest.raises(ValueError, match="must share their library; got"):
        kind.of(array(X)).update(other)


def test_a_batch_on_another_device_is_refused(kind):
    strict = pytest.importorskip("array_api_strict")
    state = kind.of(strict.asarray(X, device=strict.Device("device1")))
    with pytest.raises(ValueError, match="must share their device; got"):
        state.update(strict.asarray(X))
