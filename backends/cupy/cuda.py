"""CuPy: the kernels that are served by CUDA C."""

from typing import Any

import cupy

from qcore import affine
from qcore import gradient as portable_gradient
from qcore.backends.cuda import gradient, kernels, rounding
from qcore.backends.cuda import regrid as regridding
from qcore.backends.cuda import tally as tallying
from qcore.backends.cupy.device import on_device
from qcore.backends.cupy.library import NAME
from qcore.spec import QuantSpec
from qcore.statistics import tally as portable


@portable.tally.accelerate(NAME)
def tally(
    rows: cupy.ndarray,
    keep: cupy.ndarray | None,
    weights: cupy.ndarray | None,
    slots: int,
    k: cupy.ndarray | None,
    /,
) -> Any:
    """Count rows: see `qcore.statistics.tally.tally`."""
    return on_device(tallying.tally, rows, keep, weights, slots, k)


@portable.regrid.accelerate(NAME)
def regrid(
    counts: cupy.ndarray,
    exponents: cupy.ndarray,
    k: cupy.ndarray,
    new_k: cupy.ndarray,
    /,
) -> Any:
    """Widen slots: see `qcore.statistics.tally.regrid`."""
    return on_device(regridding.regrid, counts, exponents, k, new_k)


@affine.quantize_data.accelerate(NAME)
def quantize_data(
    x: cupy.ndarray,
    scale: cupy.ndarray,
    zero_point: cupy.ndarray,
    spec: QuantSpec,
    /,
) -> Any:
    """Return codes: see `qcore.affine.quantize_data`."""
    return on_device(rounding.quantize, x, scale, zero_point, spec)


@affine.fake_quantize_data.accelerate(NAME)
def fake_quantize_data(
    x: cupy.ndarray,
    scale: cupy.ndarray,
    zero_point: cupy.ndarray,
    spec: QuantSpec,
    /,
) -> Any:
    """Return rounded data: see `qcore.affine.fake_quantize_data`."""
    return on_device(rounding.fake_quantize, x, scale, zero_point, spec)


@portable_gradient.fake_quantize_gradient.accelerate(NAME)
def fake_quantize_gradient(
    gradient_of_result: cupy.ndarray,
    x: cupy.ndarray,
    scale: cupy.ndarray,
    zero_point: cupy.ndarray,
    spec: QuantSpec,
    /,
) -> Any:
    """Return gradients: see `qcore.gradient.fake_quantize_gradient`."""
    return on_device(
        gradient.fake_quantize_gradient, gradient_of_result, x, scale, zero_point, spec
    )


kernels.register(NAME, on_device)
