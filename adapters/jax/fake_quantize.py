"""Fake quantization with the straight-through gradient, as JAX differentiates it."""

from typing import Any

import jax
import jax.numpy as jnp

from qcore import QParams, straight_through
from qcore import fake_quantize as rounded
from qcore.adapters.jax.arguments import check_floating_array, check_qparams_kind
from qcore.adapters.jax.explicit_axes import spread_by_compiler
from qcore.adapters.jax.given import in_jax


def fake_quantize(x: jax.Array, qparams: QParams, /) -> jax.Array:
    """
    Return `x` quantized and dequantized, with gradients.

    Parameters
    ----------
    x : array
        Floating-point, of any shape. Traced.
    qparams : QParams
        Its scales and zero points are traced, its spec is static.

    Returns
    -------
    array
        Of the shape and dtype of `x`, and spread over devices as it is. Its gradient,
        of data and scales, is `qcore.straight_through`; it has no forward derivative
        (`jax.jvp`).

    Raises
    ------
    TypeError
        If `x` is not floating-point, or `qparams` are something else.
    ValueError
        If the scales do not fit its shape.
    """
    check_floating_array(x, "`x`")
    check_qparams_kind(qparams, "`qparams`")
    x, qparams = jnp.asarray(x), in_jax(qparams)
    found: jax.Array = spread_by_compiler(_rounded, x, x, qparams)
    return found


@jax.custom_vjp
def _rounded(x: jax.Array, qparams: QParams) -> jax.Array:
    found: jax.Array = rounded(x, qparams, xp=jnp)
    return found


def _forward(x: jax.Array, qparams: QParams) -> tuple[jax.Array, Any]:
    return _rounded(x, qparams), (x, qparams)


def _backward(kept: Any, gradient: jax.Array) -> tuple[jax.Array, QParams]:
    x, qparams = kept
    of_x, of_scale = straight_through(gradient, x, qparams, xp=jnp)
    if axes := _differing(of_scale) - _differing(qparams.scale):
        # The devices of a map share the scales, and their gradient.
        of_scale = jax.lax.psum(of_scale, tuple(sorted(axes)))
    zero = jax.custom_derivatives.zero_from_primal
    of_qparams = QParams(
        of_scale.astype(qparams.scale.dtype),
        zero(qparams.zero_point),
        qparams.spec,
        None if qparams.global_scale is None else jnp.zeros_like(qparams.global_scale),
    )
    return of_x, of_qparams


_rounded.defvjp(_forward, _backward)


def _differing(x: jax.Array) -> frozenset[str]:
    """Return the axes of a mesh along which devices hold different values."""
    kind: Any = jax.typeof(x)
    # Its name before JAX 0.10 is the second one.
    found = kind.mat.varying if hasattr(kind, "mat") else getattr(kind, "vma", ())
    return frozenset(found)
