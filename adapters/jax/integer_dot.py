"""Products of codes: integers in, 32-bit integers out, one rescale.

With codes a and b, zero points z and y and K terms,

    sum (a - z)(b - y)  =  sum a b - z sum b - y sum a + K z y

which 32-bit integers that wrap give exactly wherever the left side fits.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.extend import core

from qcore import IntFormat, PerBlock, PerChannel, QParams, QuantSpec, quantize
from qcore.adapters.jax.calls import bound
from qcore.adapters.jax.fake_quantize import fake_quantize
from qcore.adapters.jax.products import Product
from qcore.granularity import normalize_axes

_SHIFT = 128
"""Codes of uint8 less this are those of int8."""

_EXACT = 2**24
"""Up to it float32 has every integer, so that sums are exact in any order."""

QuantizedDot = bool | Literal["int8"]
"""Whether products are computed on integers; int8 ones on every device."""

Codes = tuple[jax.Array, jax.Array | None]
"""int8, and their zero point; None where it is 0."""


def check_quantized_dot(given: Any, /) -> None:
    """Raise ValueError unless given a `QuantizedDot`."""
    if not (isinstance(given, bool) or given == "int8"):
        raise ValueError(
            f"`quantized_dot` must be False, True or 'int8'; got {given!r}."
        )


def why_not(equation: core.JaxprEqn, specs: Mapping[int, QuantSpec], /) -> str | None:
    """
    Return why an equation cannot be computed on codes, or None where it can.

    Parameters
    ----------
    equation
        A `dot_general` or `conv_general_dilated`.
    specs : mapping
        From each operand that is quantized, 0 or 1, to how it is.
    """
    product = Product.of(equation)
    for operand, side in enumerate(("lhs", "rhs")):
        if operand not in specs:
            return f"{side} is not quantized"
        spec = specs[operand]
        fmt = spec.format
        if not isinstance(fmt, IntFormat) or fmt.bits > 8:
            return f"{side} is {fmt.name}, no integers of at most 8 bits"
        if isinstance(spec.granularity, PerBlock):
            return f"{side} has scales of blocks"
        if isinstance(spec.granularity, PerChannel):
            shape = product.shapes[operand]
            axes = normalize_axes(spec.granularity.axis, len(shape))
            varying = {axis for axis in axes if shape[axis] > 1}
            if not varying <= set(product.kept[operand]):
                return f"{side} has scales along an axis that is summed"
    if product.summed * _largest(specs) >= 2**31:
        return f"the sum of {product.summed} products may exceed 32 bits"
    return None


def integer_product(
    equation: core.JaxprEqn,
    inputs: list[Any],
    qparams: Mapping[int, QParams],
    /,
    *,
    everywhere: bool = False,
) -> list[jax.Array]:
    """
    Return the outputs of an equation, computed on codes of its operands.

    Parameters
    ----------
    equation
        Of which `why_not` says nothing.
    inputs : list of array
        Its operands, floating-point. Traced.
    qparams : mapping
        Of both operands.
    everywhere : bool, optional
        Whether CPUs too shall convolve integers, which XLA does 20 times slower there
        than floats; else they convolve codes held in float32 and add up integers as
        soon as they could cease to be exact.

    Returns
    -------
    list of array
        The one output: the sum of integers, exact, rounded to float32 and multiplied by
        the product of the scales. The gradient is that of the product of what
        `fake_quantize` gives.
    """
    product = Product.of(equation)
    specs = {operand: given.spec for operand, given in qparams.items()}
    runs = product.channel_runs(_EXACT // _largest(specs))

    def fake(lhs: Any, rhs: Any, of_lhs: QParams, of_rhs: QParams) -> Any:
        rounded = [fake_quantize(lhs, of_lhs), fake_quantize(rhs, of_rhs)]
        return bound(equation, rounded)[0]

    @jax.custom_vjp
    def run(lhs: Any, rhs: Any, of_lhs: QParams, of_rhs: QParams) -> Any:
        a, b = _codes(lhs, of_lhs), _codes(rhs, of_rhs)
        if everywhere or not runs:
            total = _by_integers(product, a, b)
        else:
            total = jax.lax.platform_dependent(
                a,
                b,
                cpu=partial(_by_floats, product, runs),
                default=partial(_by_integers, product),
            )
        scales = [
            product.placed(operand, given.scale.astype(jnp.float32))
            for operand, given in enumerate((of_lhs, of_rhs))
        ]
        dtype = equation.outvars[0].aval.dtype  # type: ignore[attr-defined]
        return (total.astype(jnp.float32) * (scales[0] * scales[1])).astype(dtype)

    def forward(*given: Any) -> tuple[Any, Any]:
        return run(*given), given

    def backward(kept: Any, gradient: jax.Array) -> Any:
        return jax.vjp(fake, *kept)[1](gradient)

    run.defvjp(forward, backward)
    return [run(inputs[0], inputs[1], qparams[0], qparams[1])]


def _largest(specs: Mapping[int, QuantSpec]) -> int:
    """Return how large the product of two codes less their zero points can be."""
    found = 1
    for spec in specs.values():
        fmt = spec.format
        assert isinstance(fmt, IntFormat)  # `why_not` declines others
        found *= max(-fmt.qmin, fmt.qmax) if spec.symmetric else fmt.qmax - fmt.qmin
    return found


def _codes(x: jax.Array, qparams: QParams) -> Codes:
    codes = quantize(x, qparams, xp=jnp)
    if codes.dtype == jnp.uint8:
        shifted = codes.astype(jnp.int32) - _SHIFT
        return shifted.astype(jnp.int8), qparams.zero_point - _SHIFT
    return codes, None if qparams.spec.symmetric else qparams.zero_point


def _by_integers(product: Product, lhs: Codes, rhs: Codes) -> jax.Array:
    """Return the sums of products of codes less zero points, int32."""
    (a, of_a), (b, of_b) = lhs, rhs
    fill = jnp.int8(0) if of_a is None else of_a.reshape(-1)[0].astype(jnp.int8)
    product, a = product.padded(a, fill)
    total = product.compute(a, b, jnp.int32)
    if of_a is not None:
        of_a = product.placed(0, of_a)
        total = total - of_a * product.sums(1, b)
    if of_b is not None:
        of_b = product.placed(1, of_b)
        total = total - of_b * product.sums(0, a)
        if of_a is not None:
            total = total + product.summed * (of_a * of_b)
    return total


def _by_floats(
    product: Product, runs: list[tuple[int, int]], lhs: Codes, rhs: Codes
) -> jax.Array:
    """Return them by convolutions of so few channels each that float32 is exact."""
    a, b = (
        codes.astype(jnp.float32)
        if zero_point is None
        else (codes.astype(jnp.int32) - zero_point).astype(jnp.float32)
        for codes, zero_point in (lhs, rhs)
    )
    parts = [
        product.compute(*product.of_channels(a, b, run), jnp.float32) for run in runs
    ]
    return sum(
        (part.astype(jnp.int32) for part in parts[1:]), parts[0].astype(jnp.int32)
    )
