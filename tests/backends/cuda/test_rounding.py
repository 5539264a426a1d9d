"""Data rounded by the kernels is rounded as by the portable functions."""

import numpy as np
import pytest

from qcore import PerChannel, QuantSpec
from qcore.backends.cuda.gradient import fake_quantize_gradient
from qcore.backends.cuda.rounding import fake_quantize, quantize
from qcore.kernels import Declined
from tests.backends.cuda.cases import (
    fake_quantize_case,
    gradient_case,
    quantize_case,
    rounding_cases,
)
from tests.backends.hard import assert_same_bits

CASES = rounding_cases()


@pytest.mark.parametrize("given", CASES.values(), ids=CASES)
def test_codes_equal_the_portable_ones(device, given):
    case = quantize_case(given)
    assert_same_bits(quantize(device, *case.given), *case.expected)


@pytest.mark.parametrize("given", CASES.values(), ids=CASES)
def test_values_equal_the_portable_ones(device, given):
    case = fake_quantize_case(given)
    assert_same_bits(fake_quantize(device, *case.given), *case.expected)


@pytest.mark.parametrize("given", CASES.values(), ids=CASES)
def test_gradients_equal_the_portable_ones(device, given):
    case = gradient_case(given)
    found = fake_quantize_gradient(device, *case.given)
    if isinstance(found, Declined):
        assert found.reason == "blocks along another axis than the last"
        return
    assert_same_bits(found[0], case.expected[0])
    np.testing.assert_allclose(found[1], case.expected[1], rtol=2e-6, atol=1e-5)
    assert found[1].dtype == np.float32


def test_the_gradient_of_the_scale_is_the_same_each_time(device):
    given = gradient_case(CASES["long middle-float32-int8"]).given
    first, second = (fake_quantize_gradient(device, *given)[1] for _ in range(2))
    assert_same_bits(first, second)


def test_one_zero_point_for_many_scales_is_declined(device):
    x, scale = np.ones((2, 3), np.float32), np.ones((2, 1), np.float32)
    spec = QuantSpec(granularity=PerChannel(0), symmetric=False)
    found = quantize(device, x, scale, np.zeros((), np.int32), spec)
    assert found.reason == "scales and zero points of different shapes"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"rounding": "half_up"}, "rounding half_up"),
        ({"granularity": PerChannel((0, 2))}, "channels along axes that are apart"),
    ],
)
def test_what_the_kernels_do_not_know_is_declined(device, options, reason):
    spec = QuantSpec(**options)
    scale = np.ones((2, 1, 2) if "granularity" in options else (), np.float32)
    x = np.ones((2, 3, 2), np.float32)
    found = quantize(device, x, scale, np.zeros_like(scale, np.int32), spec)
    assert isinstance(found, Declined)
    assert found.reason == reason
