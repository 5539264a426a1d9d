"""JAX: eager arrays on a CUDA device, counted and rounded by CuPy's kernels.

Memory goes across by DLPack, whose streams order a launch after what its inputs are
made by, and what reads its results after the launch. Two tiny computations order the
rest: what JAX still reads may lie in memory that CuPy hands out again, and what CuPy
still reads in memory that JAX does.

CuPy is imported by the first call with an array on such a device.
"""

from functools import cache
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp

from qcore.affine import fake_quantize_data, quantize_data
from qcore.gradient import fake_quantize_gradient
from qcore.kernels import Declined, declined
from qcore.spec import QuantSpec
from qcore.statistics.tally import Tally, regrid, tally

NAME = "jax.numpy"

_now = jax.jit(lambda: jnp.zeros(1, jnp.int32))
_touch = jax.jit(lambda x: jnp.reshape(x, (-1,))[:1])


@cache
def _cupy() -> Any:
    """Return CuPy, or why it cannot be used."""
    try:
        return import_module("cupy")
    except ImportError as error:  # such as of a version for another CUDA
        return declined(f"CuPy cannot be imported: {error}")


def _by_cupy(function: str, *given: Any) -> Any:
    """Call a function of `qcore.backends.cupy.cuda` on arrays of JAX, or decline."""
    arrays = [x for x in given if isinstance(x, jax.Array)]
    # Before all else: what is traced has no device.
    if any(isinstance(x, jax.core.Tracer) for x in arrays):
        return declined("an array is part of a transformed function")
    devices = {device for x in arrays for device in x.devices()}
    if len(devices) > 1 or next(iter(devices)).platform not in ("gpu", "cuda"):
        return declined("not on a CUDA device")
    cupy = _cupy()
    if isinstance(cupy, Declined):
        return cupy
    if given[0].dtype == jnp.bfloat16 and not _has_bfloat16(cupy):
        return declined("CuPy has no bfloat16")
    with jax.default_device(next(iter(devices))):
        begun = cupy.from_dlpack(_now())
    kernels = import_module("qcore.backends.cupy.cuda")
    lent = [cupy.from_dlpack(x) if isinstance(x, jax.Array) else x for x in given]
    result = getattr(kernels, function)(*lent)
    if isinstance(result, Declined):
        return result
    parts = result if isinstance(result, tuple) else (result,)
    found = [jnp.from_dlpack(part) for part in parts]
    _touch(found[-1])
    del begun
    return found if isinstance(result, tuple) else found[0]


def _has_bfloat16(cupy: Any) -> bool:
    return int(cupy.__version__.partition(".")[0]) >= 14


def _plain(mask: jax.Array | None) -> Any:
    """Return booleans as bytes, which all versions of DLPack carry."""
    return None if mask is None else mask.astype(jnp.uint8)


@tally.accelerate(NAME)
def _(rows: jax.Array, keep: jax.Array | None, /, *given: Any) -> Any:
    found = _by_cupy("tally", rows, _plain(keep), *given)
    return found if isinstance(found, Declined) else Tally(*found)


@regrid.accelerate(NAME)
def _(counts: jax.Array, /, *given: Any) -> Any:
    found = _by_cupy("regrid", counts, *given)
    return found if isinstance(found, Declined) else tuple(found)


@quantize_data.accelerate(NAME)
def _(x: jax.Array, scale: jax.Array, zero_point: jax.Array, spec: QuantSpec, /) -> Any:
    return _by_cupy("quantize_data", x, scale, zero_point, spec)


@fake_quantize_data.accelerate(NAME)
def _(x: jax.Array, scale: jax.Array, zero_point: jax.Array, spec: QuantSpec, /) -> Any:
    return _by_cupy("fake_quantize_data", x, scale, zero_point, spec)


@fake_quantize_gradient.accelerate(NAME)
def _(
    gradient: jax.Array,
    x: jax.Array,
    scale: jax.Array,
    zero_point: jax.Array,
    spec: QuantSpec,
    /,
) -> Any:
    given = (gradient, x, scale, zero_point, spec)
    found = _by_cupy("fake_quantize_gradient", *given)
    return found if isinstance(found, Declined) else tuple(found)
