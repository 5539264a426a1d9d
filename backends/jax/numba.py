"""JAX: compiled CPU kernels for calls outside of traced functions."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qcore.backends.numba.kernels import register
from qcore.backends.numba.lending import Lender
from qcore.backends.numba.memory import LARGE


def _reason(arrays: Sequence[Any]) -> str | None:
    """Return why the memory of arrays is out of reach."""
    if any(isinstance(x, jax.core.Tracer) for x in arrays):
        return "an array is part of a transformed function"
    devices = {device for x in arrays for device in x.devices()}
    if len(devices) > 1 or any(device.platform != "cpu" for device in devices):
        return "the arrays are not on one CPU device"
    return None


def _from_numpy(x: np.ndarray, like: jax.Array, _: bool) -> jax.Array:
    """Return an array where another one is; of the same memory, if large."""
    if x.nbytes < LARGE and not like.committed:  # to copy takes half the time
        return jnp.asarray(x)
    device = like.device if like.committed else None
    found: jax.Array = jax.device_put(x, device, may_alias=True)
    return found


register("jax.numpy", Lender(jax.Array, _reason, np.asarray, _from_numpy).lent)
