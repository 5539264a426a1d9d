"""The functions of pytorch-quantization, with their documented arithmetic.

`tensor_quant` and `fake_tensor_quant` multiply by ``qmax / amax``, where the rest of
qcore divides by a scale: use them to reproduce results of that package, and
`qcore.quantize` for codes as at deployment.
"""

from qcore.affine import to_grid
from qcore.arithmetic import divide, to_computing_dtype
from qcore.clipping import fitted_bound
from qcore.formats import IntFormat
from qcore.libraries import arithmetic, is_concrete, namespace
from qcore.typing import Array, DType, Namespace

_SMALLEST_AMAX = 2.0**-24
"""Of pytorch-quantization: a smaller amax gives zeros and scale 1."""

_LARGEST_HALF = 65504.0
_WIDEST = 24


def tensor_quant(
    inputs: Array,
    amax: Array,
    /,
    num_bits: int = 8,
    unsigned: bool = False,
    narrow_range: bool = True,
    *,
    output_dtype: DType | None = None,
    xp: Namespace | None = None,
) -> tuple[Array, Array]:
    """
    Return integer values, stored as floats, and the scale that multiplied the inputs.

    Parameters
    ----------
    inputs : array
        Floating-point data of any shape.
    amax : array
        Largest magnitudes, not negative; broadcasts against `inputs`.
    num_bits : int, optional
        Width of the integers.
    unsigned : bool, optional
        Integers from 0 to ``2**num_bits - 1``; the inputs must not be negative.
    narrow_range : bool, optional
        Leave out the lowest integer of a signed range.
    output_dtype : dtype, optional
        Of the outputs, by default that of `inputs`. An integer one has the lowest
        integer for NaN, as `qcore.quantize`.

    Returns
    -------
    outputs : array
        ``clip(round(inputs * scale))`` of the shape of `inputs`.
    scale : array
        Of the shape of `amax` and the dtype of `inputs`:
        ``(2**(num_bits - 1 + unsigned) - 1) / amax``; 1 where amax is at most 2**-24,
        whose outputs are 0. ``outputs / scale`` approximates `inputs`.

    Raises
    ------
    ValueError
        If `amax` is negative or does not broadcast, or a float16 scale would exceed
        65504.
    TypeError
        If an input is negative and `unsigned` is true.
    """
    xp = namespace(inputs, xp)
    bottom, top = _ends(num_bits, unsigned, narrow_range)
    with arithmetic(xp):
        outputs, scale = _quantized(
            inputs, amax, num_bits, unsigned, narrow_range, xp=xp
        )
        is_half = inputs.dtype == getattr(xp, "float16", None)
        if is_half and is_concrete(scale, xp) and bool(xp.any(scale > _LARGEST_HALF)):
            raise ValueError(
                f"`amax` must be at least {top / _LARGEST_HALF:.3g} for float16 "
                "inputs, whose scale would overflow; got a smaller value."
            )
        if output_dtype is None:
            output_dtype = inputs.dtype
        elif xp.isdtype(output_dtype, "integral"):
            lowest = xp.full_like(outputs, float(bottom))
            outputs = xp.where(xp.isnan(outputs), lowest, outputs)
        scale = xp.reshape(xp.astype(scale, inputs.dtype), amax.shape)
        return xp.astype(outputs, output_dtype), scale


def fake_tensor_quant(
    inputs: Array,
    amax: Array,
    /,
    num_bits: int = 8,
    unsigned: bool = False,
    narrow_range: bool = True,
    *,
    xp: Namespace | None = None,
) -> Array:
    """
    Return ``outputs / scale`` of `tensor_quant`, of the shape and dtype of `inputs`.

    Parameters
    ----------
    inputs, amax, num_bits, unsigned, narrow_range
        As in `tensor_quant`.

    Raises
    ------
    ValueError, TypeError
        As `tensor_quant`, but that no scale is returned which could overflow.
    """
    xp = namespace(inputs, xp)
    with arithmetic(xp):
        outputs, scale = _quantized(
            inputs, amax, num_bits, unsigned, narrow_range, xp=xp
        )
        return xp.astype(divide(outputs, scale, xp=xp), inputs.dtype)


def fake_affine_tensor_quant(
    inputs: Array,
    min_range: Array,
    max_range: Array,
    /,
    num_bits: int = 8,
    *,
    xp: Namespace | None = None,
) -> Array:
    """
    Return the inputs rounded to ``2**num_bits`` levels between two ends.

    The grid is that of gemmlowp: it holds zero, but the range is not widened to.

    Parameters
    ----------
    inputs : array
        Floating-point data of any shape.
    min_range, max_range : array
        Ends of the range; they broadcast against `inputs`.
    num_bits : int, optional
        From 2 to 16.

    Returns
    -------
    array
        Of the shape and dtype of `inputs`: whole multiples of
        ``step = (max_range - min_range) / (2**num_bits - 1)``, from
        ``round(min_range / step)`` of them upwards.

    Raises
    ------
    ValueError
        If an end does not broadcast or is not below the other one.
    """
    xp = namespace(inputs, xp)
    fmt = IntFormat(num_bits)
    with arithmetic(xp):
        x = to_computing_dtype(inputs, xp=xp)
        low = fitted_bound(min_range, x, "min_range", xp=xp)
        high = fitted_bound(max_range, x, "max_range", xp=xp)
        is_known = is_concrete(low, xp) and is_concrete(high, xp)
        if is_known and not bool(xp.all(low < high)):
            raise ValueError("`min_range` must be less than `max_range`; got another.")
        extent = high - low
        levels = xp.full_like(extent, float(fmt.qmax - fmt.qmin))
        step = divide(extent, levels, xp=xp)
        zero_point = fmt.qmin - xp.round(divide(low, step, xp=xp))
        return xp.astype(to_grid(x, step, zero_point, fmt, xp=xp), inputs.dtype)


def _quantized(
    inputs: Array,
    amax: Array,
    num_bits: int,
    unsigned: bool,
    narrow_range: bool,
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return the integers and the scale in the dtype of the arithmetic."""
    x = to_computing_dtype(inputs, xp=xp)
    amax = fitted_bound(amax, x, "amax", xp=xp)
    if is_concrete(amax, xp) and bool(xp.any(amax < 0)):
        raise ValueError("`amax` must not be negative; got a negative value.")
    if unsigned and is_concrete(x, xp) and bool(xp.any(x < 0)):
        raise TypeError(
            "`inputs` must not be negative if unsigned; got a negative value."
        )
    bottom, top = _ends(num_bits, unsigned, narrow_range)
    is_tiny = amax <= _SMALLEST_AMAX
    amax = xp.where(is_tiny, xp.ones_like(amax), amax)
    scale = divide(xp.full_like(amax, float(top)), amax, xp=xp)
    outputs = xp.clip(xp.round(x * scale), bottom, top)
    return (
        xp.where(is_tiny, xp.zeros_like(outputs), outputs),
        xp.where(is_tiny, xp.ones_like(scale), scale),
    )


def _ends(num_bits: int, unsigned: bool, narrow_range: bool) -> tuple[int, int]:
    """Return the lowest and the highest integer.

    Wider ones than of 24 bits float32 cannot hold; a signed one of 1 bit is always 0.
    """
    least = 1 if unsigned else 2
    if not (isinstance(num_bits, int) and least <= num_bits <= _WIDEST):
        raise ValueError(
            f"`num_bits` must be an integer from {least} to {_WIDEST}; got "
            f"{num_bits!r}."
        )
    top = 2 ** (num_bits - 1 + unsigned) - 1
    return (0 if unsigned else -top - (not narrow_range)), top
