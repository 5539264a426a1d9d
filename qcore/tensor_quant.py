"""The two functions of pytorch-quantization, with their documented arithmetic.

They multiply by ``qmax / amax``, where the rest of qcore divides by a scale: use them
to reproduce results of that package, and `qcore.quantize` for codes as at deployment.
"""

from qcore.arithmetic import divide, to_computing_dtype
from qcore.libraries import arithmetic, is_concrete, namespace
from qcore.typing import Array, Namespace

_SMALLEST_AMAX = 2.0**-24
"""Of pytorch-quantization: a smaller amax gives zeros and scale 1."""

_LARGEST_HALF = 65504.0


def tensor_quant(
    inputs: Array,
    amax: Array,
    /,
    num_bits: int = 8,
    unsigned: bool = False,
    narrow_range: bool = True,
    *,
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

    Returns
    -------
    outputs : array
        ``clip(round(inputs * scale))`` of the shape and dtype of `inputs`.
    scale : array
        ``(2**(num_bits - 1 + unsigned) - 1) / amax``; 1 where amax is at most 2**-24,
        whose outputs are 0. ``outputs / scale`` approximates `inputs`.

    Raises
    ------
    ValueError
        If `amax` is negative, or a float16 scale would exceed 65504.
    TypeError
        If an input is negative and `unsigned` is true.
    """
    xp = namespace(inputs, xp)
    with arithmetic(xp):
        outputs, scale = _quantized(
            inputs, amax, num_bits, unsigned, narrow_range, xp=xp
        )
        return xp.astype(outputs, inputs.dtype), xp.astype(scale, inputs.dtype)


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
        As `tensor_quant`.
    """
    xp = namespace(inputs, xp)
    with arithmetic(xp):
        outputs, scale = _quantized(
            inputs, amax, num_bits, unsigned, narrow_range, xp=xp
        )
        return xp.astype(divide(outputs, scale, xp=xp), inputs.dtype)


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
    x, amax = to_computing_dtype(inputs, xp=xp), to_computing_dtype(amax, xp=xp)
    amax = xp.astype(amax, x.dtype)
    amax_is_known = is_concrete(amax, xp)
    if amax_is_known and bool(xp.any(amax < 0)):
        raise ValueError("`amax` must not be negative; got a negative value.")
    if unsigned and is_concrete(x, xp) and bool(xp.any(x < 0)):
        raise TypeError(
            "`inputs` must not be negative if unsigned; got a negative value."
        )
    top = 2 ** (num_bits - 1 + unsigned) - 1
    bottom = 0 if unsigned else -top - (not narrow_range)
    is_tiny = amax <= _SMALLEST_AMAX
    amax = xp.where(is_tiny, xp.ones_like(amax), amax)
    scale = divide(xp.full_like(amax, float(top)), amax, xp=xp)
    is_half = inputs.dtype == getattr(xp, "float16", None)
    if is_half and amax_is_known and bool(xp.any(scale > _LARGEST_HALF)):
        raise ValueError(
            f"`amax` must be at least {top / _LARGEST_HALF:.3g} for float16 inputs, "
            "whose scale would overflow; got a smaller value."
        )
    outputs = xp.clip(xp.round(x * scale), bottom, top)
    return (
        xp.where(is_tiny, xp.zeros_like(outputs), outputs),
        xp.where(is_tiny, xp.ones_like(scale), scale),
    )
