"""Compiled and run on a GPU, Triton's kernels give the bits of the reference."""

from importlib.util import find_spec

import numpy as np
import pytest

if not (find_spec("triton") and find_spec("torch")):
    pytest.skip("triton or torch is not installed", allow_module_level=True)

import torch

if not torch.cuda.is_available():
    pytest.skip("torch sees no CUDA device", allow_module_level=True)

import qcore
from qcore import PerTensor
from qcore.backends.triton import launch
from tests.backends.hard import DTYPES, FORMATS
from tests.backends.triton.rounding_cases import (
    KERNELS,
    LAYOUTS,
    bits,
    case,
    check,
    found,
    native,
)
from tests.backends.triton.tally_cases import (
    GRIDS,
    KINDS,
    SHAPES,
    check_regrid,
    kept,
    rows,
)
from tests.backends.triton.tally_cases import check as check_tally
from tests.backends.triton.tally_cases import native as native_tally

pytestmark = pytest.mark.gpu

every_kernel = pytest.mark.parametrize("kernel", KERNELS)
every_grid = pytest.mark.parametrize("grid", GRIDS)


@pytest.fixture(autouse=True)
def _overflow_is_meant():
    with np.errstate(all="ignore"):
        yield


@every_kernel
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("fmt", FORMATS)
def test_numbers_are_rounded_as_by_numpy_to_every_format(kernel, fmt, dtype):
    check(kernel, *case((200_003,), PerTensor(), fmt, dtype), torch.device("cuda"))


@every_kernel
@pytest.mark.parametrize(
    ("shape", "granularity"), LAYOUTS, ids=lambda value: str(value).replace(" ", "")
)
@pytest.mark.parametrize(
    ("fmt", "dtype"), [("uint8", "float32"), ("float8_e4m3fn", "bfloat16")]
)
def test_each_number_has_its_scale_however_scales_lie(
    kernel, shape, granularity, fmt, dtype
):
    check(kernel, *case(shape, granularity, fmt, dtype), torch.device("cuda"))


@every_kernel
@pytest.mark.parametrize(
    ("shape", "granularity"), LAYOUTS, ids=lambda value: str(value).replace(" ", "")
)
def test_offsets_of_64_bits_reach_the_same_numbers(
    kernel, shape, granularity, monkeypatch
):
    monkeypatch.setattr(launch, "WIDE", 1)
    check(kernel, *case(shape, granularity, "int8", "float32"), torch.device("cuda"))


@every_kernel
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("fmt", ["int8", "float8_e4m3fn", "float8_e5m2"])
def test_each_pattern_of_16_bits_is_rounded_as_by_numpy(kernel, fmt, dtype):
    _, scale, zero, spec = case((1,), PerTensor(), fmt, dtype)
    patterns = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
    x = torch.from_numpy(patterns).view(getattr(torch, dtype))
    check(kernel, x, scale, zero, spec, torch.device("cuda"))


@every_kernel
@pytest.mark.parametrize("fmt", ["int8", "float8_e4m3fn"])
def test_millions_of_numbers_are_rounded_as_by_numpy(kernel, fmt):
    check(kernel, *case((1 << 22,), PerTensor(), fmt, "float32"), torch.device("cuda"))


def test_equal_calls_give_equal_bits():
    arguments = case((1 << 22,), PerTensor(), "int8", "float32")
    first, second = (
        found("gradient", *arguments, torch.device("cuda")) for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(bits(one), bits(other))


def test_quantize_runs_on_triton_where_the_portable_function_would_raise(
    monkeypatch,
):
    def portable(*_, **__):
        raise AssertionError("the portable function ran")

    kernel = KERNELS["quantize"]
    monkeypatch.setattr(kernel, "reference", portable)
    by_triton = [n for n in kernel.natives["torch"] if n.function is native("quantize")]
    monkeypatch.setitem(kernel.natives, "torch", by_triton)
    x = torch.randn(1000, device="cuda")
    scale, zero = torch.tensor([0.03]).cuda(), torch.zeros(1, dtype=torch.int32).cuda()
    qparams = qcore.QParams(scale, zero, qcore.QuantSpec("int8"))
    expected = torch.clamp(torch.round(x / scale), -128, 127)
    assert torch.equal(qcore.quantize(x, qparams), expected.to(torch.int8))


@every_grid
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_of_any_number_and_length_are_counted_as_by_numpy(shape, grid):
    check_tally(
        rows("any", shape), None, 64, GRIDS[grid](shape[0]), torch.device("cuda")
    )


@every_grid
@pytest.mark.parametrize("kind", KINDS)
def test_values_of_any_kind_are_counted_as_by_numpy(kind, grid):
    x = rows(kind, (3, 70_001))
    check_tally(x, kept(x.shape), 4096, GRIDS[grid](3), torch.device("cuda"))


@every_grid
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_numbers_of_other_widths_are_counted_as_by_numpy(dtype, grid):
    check_tally(
        rows("any", (3, 70_001), dtype), None, 256, GRIDS[grid](3), torch.device("cuda")
    )


@pytest.mark.parametrize("slots", [2, 64, 4096])
def test_counts_move_to_wider_grids_as_by_numpy(slots):
    check_regrid(slots, torch.device("cuda"))


@pytest.mark.parametrize("k", [None, -12])
def test_no_call_waits_for_the_device(k):
    x = torch.randn(4, 4096, device="cuda")
    k = None if k is None else torch.full((4,), k, dtype=torch.int32, device="cuda")
    tensor = torch.full((), 0.03, device="cuda")
    zero = torch.zeros((), dtype=torch.int32, device="cuda")
    spec = qcore.QuantSpec("int8")

    def every() -> None:
        native_tally()(x, None, None, 4096, k)
        native("fake_quantize")(x, tensor, zero, spec)
        native("quantize")(x, tensor, zero, spec)
        native("gradient")(x, x, tensor, zero, spec)

    every()  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        every()
    finally:
        torch.cuda.set_sync_debug_mode("default")
