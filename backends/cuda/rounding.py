"""Launches that quantize and fake-quantize; rounding.cu has the kernels."""

from ctypes import c_uint64
from math import prod
from typing import Any

from qcore.arithmetic import dtype_name
from qcore.backends.cuda.device import MOST_BLOCKS, SIZES, Array, Device, address
from qcore.backends.cuda.scales import format_arguments, format_macros, layout_for
from qcore.backends.cuda.source import Program
from qcore.formats import Format
from qcore.kernels import Declined
from qcore.spec import QuantSpec

THREADS = 256
UNROLL = 2
"""Packets of a thread in flight."""


def quantize(
    device: Device, x: Array, scale: Array, zero_point: Array, spec: QuantSpec, /
) -> Any:
    """Return the codes of contiguous data, or decline.

    Parameters
    ----------
    device : Device
        Whose arrays the others are: see `qcore.affine.quantize_data`.
    """
    storage = spec.format.storage
    return _rounded("quantize", storage, device, x, scale, zero_point, spec)


def fake_quantize(
    device: Device, x: Array, scale: Array, zero_point: Array, spec: QuantSpec, /
) -> Any:
    """Return contiguous data rounded to what its codes stand for, or decline.

    Parameters
    ----------
    device : Device
        Whose arrays the others are: see `qcore.affine.fake_quantize_data`.
    """
    dtype = dtype_name(x.dtype)
    return _rounded("fake_quantize", dtype, device, x, scale, zero_point, spec)


def _rounded(
    kernel: str,
    out_dtype: str,
    device: Device,
    x: Array,
    scale: Array,
    zero_point: Array,
    spec: QuantSpec,
) -> Any:
    shape = tuple(x.shape)
    layout = layout_for(scale, zero_point, shape, spec)
    if isinstance(layout, Declined):
        return layout
    out = device.empty((shape, out_dtype))
    dtype = dtype_name(x.dtype)
    width = 16 // SIZES[dtype]
    elements = prod(shape)
    is_vector = layout.is_uniform(width) and device.pointer(x) % 16 == 0
    packets = elements // width if is_vector else 0
    # Short blocks, each gone over once, leave no part of the device idle at the end.
    wanted = -(-max(-(-packets // UNROLL), elements - packets * width) // THREADS)
    device.launch(
        program(dtype, spec.format),
        kernel,
        min(wanted, MOST_BLOCKS),
        THREADS,
        0,
        [
            *(address(device, array) for array in (x, out, scale, zero_point)),
            c_uint64(elements),
            c_uint64(packets),
            *layout.arguments(),
            *format_arguments(spec.format),
        ],
    )
    return out


def program(dtype: str, fmt: Format) -> Program:
    """Return the kernels that round data of a dtype to a format."""
    code = f"CODE_BITS={8 * SIZES[fmt.storage]}"
    sizes = f"THREADS={THREADS}", f"UNROLL={UNROLL}"
    macros = (f"DATA_{dtype}", code, *sizes, *format_macros(fmt))
    return Program(("numbers.cu", "steps.cu", "rounding.cu"), macros)
