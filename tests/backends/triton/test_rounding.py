"""Interpreted on the CPU, Triton's kernels give the bits of the reference."""

import os
from importlib.util import find_spec

import numpy as np
import pytest

if not find_spec("triton"):
    pytest.skip("triton is not installed", allow_module_level=True)
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("TRITON_INTERPRET=1 is not set", allow_module_level=True)

import torch

from qcore import PerTensor, QuantSpec
from qcore.backends.triton import launch
from qcore.kernels import Declined
from tests.backends.hard import DTYPES, FORMATS
from tests.backends.triton.rounding_cases import (
    KERNELS,
    LAYOUTS,
    case,
    check,
    found,
    native,
)

every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_layout = pytest.mark.parametrize(
    ("shape", "granularity"), LAYOUTS, ids=lambda value: str(value).replace(" ", "")
)


@pytest.fixture(autouse=True)
def _overflow_is_meant():
    with np.errstate(all="ignore"):
        yield


@every_kernel
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fmt", FORMATS)
def test_numbers_are_rounded_as_by_numpy_to_every_format(kernel, fmt, dtype):
    check(kernel, *case((5000,), PerTensor(), fmt, dtype), "cpu")


@every_kernel
@every_layout
@pytest.mark.parametrize(
    ("fmt", "dtype"), [("uint8", "float32"), ("float8_e4m3fn", "bfloat16")]
)
def test_each_number_has_its_scale_however_scales_lie(
    kernel, shape, granularity, fmt, dtype
):
    check(kernel, *case(shape, granularity, fmt, dtype), "cpu")


@every_kernel
@every_layout
def test_offsets_of_64_bits_reach_the_same_numbers(
    kernel, shape, granularity, monkeypatch
):
    monkeypatch.setattr(launch, "WIDE", 1)
    check(kernel, *case(shape, granularity, "int8", "float32"), "cpu")


@every_kernel
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_data_without_elements_gives_none(kernel, shape):
    check(kernel, *case(shape, PerTensor(), "int8", "float32"), "cpu")


@every_kernel
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("fmt", ["int8", "float8_e4m3fn", "float8_e5m2"])
def test_each_pattern_of_16_bits_is_rounded_as_by_numpy(kernel, fmt, dtype):
    _, scale, zero, spec = case((1,), PerTensor(), fmt, dtype)
    patterns = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
    x = torch.from_numpy(patterns).view(getattr(torch, dtype))
    check(kernel, x, scale, zero, spec, "cpu")


@every_kernel
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[::2, 1::3],
        lambda x: x[:, :1].expand(60, 90),
        lambda x: x.unsqueeze(0).transpose(1, 2),
    ],
)
def test_data_that_is_not_contiguous_is_rounded_as_by_numpy(kernel, view):
    x, scale, zero, spec = case((60, 90), PerTensor(), "int8", "float32")
    check(kernel, view(x), scale, zero, spec, "cpu")


@pytest.mark.parametrize("scale", [2.0**-88, 1.37 * 2.0**-88, 2.0**-126])
@pytest.mark.parametrize("fmt", ["int8", "float8_e4m3fn"])
def test_zeros_add_nothing_to_the_gradient_of_the_smallest_scales(fmt, scale):
    x, _, zero, spec = case((40,), PerTensor(), fmt, "float32")
    arguments = torch.zeros_like(x), np.full((), scale, np.float32), 0 * zero, spec
    assert found("gradient", *arguments, "cpu")[1] == 0


@pytest.mark.parametrize("fmt", ["int8", "float8_e4m3fn"])
def test_the_smallest_scales_have_the_gradient_that_numpy_computes(fmt):
    x, _, zero, spec = case((4000,), PerTensor(), fmt, "float32")
    scale = np.full((), 1.37 * 2.0**-88, np.float32)
    check("gradient", x * 2.0**-83, scale, 0 * zero, spec, "cpu")


@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
def test_other_roundings_are_declined(kernel):
    x, scale, zero, _ = case((40,), PerTensor(), "int8", "float32")
    scale, zero = torch.from_numpy(scale), torch.from_numpy(zero)
    spec = QuantSpec("int8", rounding="up")
    assert isinstance(native(kernel)(x, scale, zero, spec), Declined)
