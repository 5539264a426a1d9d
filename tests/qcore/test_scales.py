"""Every method gives usable scales for wide formats, floats and blocks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qcore import (
    Histogram,
    MovingRange,
    PerBlock,
    PerTensor,
    QuantSpec,
    Range,
    calibrate,
    methods,
)
from qcore.methods.registry import find_method

X = np.random.default_rng(9).laplace(size=(3, 10)).astype(np.float32)
X[0] = 0

# Other statistics are collected for one format or granularity alone; auto, which runs
# the others, has tests of its own.
GENERAL = {Histogram, Range, MovingRange}
METHODS = [
    m for m in methods() if not GENERAL.isdisjoint(find_method(m).needs) and m != "auto"
]
FORMATS = ["int8", "int16", "float8_e4m3fn"]
PARTS = {
    "tensor": (PerTensor(), ()),
    "rows": (PerBlock(1, 4), (3, 3)),
    "columns": (PerBlock(0, 2), (2, 10)),
}
# Each method with each format and each granularity, every two of which meet: how many
# parts there are matters to no method and no format, and JAX compiles each of them.
CASES = [
    pytest.param(method, name, *PARTS[part], id=f"{method}-{name}-{part}")
    for i, method in enumerate(METHODS)
    for j, name in enumerate(FORMATS)
    for part in [list(PARTS)[(i + j) % len(PARTS)]]
]


@pytest.mark.parametrize(("method", "name", "granularity", "shape"), CASES)
def test_scales_are_finite_and_positive_one_for_each_part(
    array: Callable[..., Any],
    to_numpy: Callable[..., np.ndarray],
    method: str,
    name: str,
    granularity: Any,
    shape: tuple[int, ...],
) -> None:
    kind = find_method(method).needs[0]
    options = {"bins": 64} if kind is Histogram else {}
    state = kind.of(array(X), granularity=granularity, **options)
    scale = to_numpy(calibrate(state, QuantSpec(name, granularity), method).scale)
    assert scale.shape == shape
    assert np.all((scale > 0) & (scale < np.inf))
