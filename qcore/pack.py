"""Codes of fewer than eight bits, several to a byte, the first in the low bits.

The layout of ONNX's 4- and 2-bit tensors; other widths leave no gap between codes.
"""

from math import prod

from array_api_compat import device as device_of

from qcore.arithmetic import check_codes, dtype_name
from qcore.formats import Format, IntFormat, parse_format
from qcore.libraries import arithmetic, namespace
from qcore.typing import Array, Namespace


def pack(
    codes: Array, format: str | Format, /, *, xp: Namespace | None = None
) -> Array:
    """
    Return the codes as bytes without gaps.

    Parameters
    ----------
    codes : array
        Codes as `quantize` returns them, of any shape; taken in C order.
    format : str or format
        Of at most 8 bits.

    Returns
    -------
    array
        uint8 ``[ceil(n * bits / 8)]``: the first code in the lowest bits of the first
        byte; the last byte is filled up with zeros.

    Raises
    ------
    TypeError
        If the codes are not of the format's storage dtype.
    ValueError
        If the format is wider than 8 bits.
    """
    xp = namespace(codes, xp)
    fmt = _narrow_format(format)
    check_codes(codes, fmt)
    with arithmetic(xp):
        return _packed(xp.reshape(codes, (-1,)), fmt, xp=xp)


def unpack(
    packed: Array,
    format: str | Format,
    shape: tuple[int, ...],
    /,
    *,
    xp: Namespace | None = None,
) -> Array:
    """
    Return the codes that were packed.

    Parameters
    ----------
    packed : array
        uint8 ``[bytes]``, as `pack` returns it.
    format : str or format
        Of at most 8 bits.
    shape : tuple of int
        Shape of the codes.

    Returns
    -------
    array
        Of that shape, in the format's storage dtype.

    Raises
    ------
    TypeError
        If `packed` is not uint8.
    ValueError
        If the bytes are not as many as such codes take.
    """
    xp = namespace(packed, xp)
    fmt = _narrow_format(format)
    if dtype_name(packed.dtype) != "uint8":
        raise TypeError(f"`packed` must be uint8; got {dtype_name(packed.dtype)}.")
    count = prod(shape)
    expected = -(-count * fmt.bits // 8)
    if packed.ndim != 1 or packed.shape[0] != expected:
        raise ValueError(
            f"`packed` must be {expected} bytes for {fmt.name} codes of shape {shape}; "
            f"got shape {tuple(packed.shape)}."
        )
    with arithmetic(xp):
        return xp.reshape(_unpacked(packed, fmt, count, xp=xp), shape)


def pack_rows(codes: Array, fmt: Format, /, *, xp: Namespace) -> Array:
    """Return codes packed along the last axis, each row to whole bytes.

    Of codes ``[…, n]`` they are uint8 ``[…, ceil(n * bits / 8)]``. Codes of 8 bits and
    more stay as they are.
    """
    if fmt.bits >= 8:
        return codes
    check_codes(codes, fmt)
    with arithmetic(xp):
        return _packed(codes, fmt, xp=xp)


def unpack_rows(packed: Array, fmt: Format, length: int, /, *, xp: Namespace) -> Array:
    """Return the codes ``[…, length]`` that `pack_rows` packed."""
    if fmt.bits >= 8:
        return packed
    with arithmetic(xp):
        return _unpacked(packed, fmt, length, xp=xp)


def _narrow_format(format: str | Format) -> Format:
    fmt = parse_format(format)
    if fmt.bits > 8:
        raise ValueError(
            f"`format` must have at most 8 bits to be packed; got {fmt.name}."
        )
    return fmt


def _places(bits: int, like: Array, *, xp: Namespace) -> Array:
    return xp.arange(bits, dtype=xp.int32, device=device_of(like))


def _packed(codes: Array, fmt: Format, *, xp: Namespace) -> Array:
    *lead, length = codes.shape
    wide = xp.astype(codes, xp.int32)[..., None]
    bits = (wide >> _places(fmt.bits, codes, xp=xp)) & 1
    return _join(xp.reshape(bits, (*lead, length * fmt.bits)), 8, xp=xp)


def _unpacked(packed: Array, fmt: Format, length: int, *, xp: Namespace) -> Array:
    *lead, width = packed.shape
    # Where no code lies in two bytes, bits need not be taken one by one.
    step = fmt.bits if 8 % fmt.bits == 0 else 1
    places = _places(8 // step, packed, xp=xp) * step
    codes = (xp.astype(packed, xp.int32)[..., None] >> places) & (2**step - 1)
    codes = xp.reshape(codes, (*lead, width * (8 // step)))
    count = length * fmt.bits // step
    if count < codes.shape[-1]:
        codes = codes[..., :count]
    if step < fmt.bits:
        codes = xp.astype(_join(codes, fmt.bits, xp=xp), xp.int32)
    if isinstance(fmt, IntFormat) and fmt.signed:
        half = 2 ** (fmt.bits - 1)
        codes = xp.where(codes >= half, codes - 2 * half, codes)
    return xp.astype(codes, getattr(xp, fmt.storage))


def _join(bits: Array, width: int, *, xp: Namespace) -> Array:
    """Return numbers of `width` bits each, lowest first, along the last axis: uint8."""
    *lead, length = bits.shape
    missing = -length % width
    padding = xp.zeros((*lead, missing), dtype=bits.dtype, device=device_of(bits))
    bits = xp.concat([bits, padding], axis=-1)
    weights = xp.asarray(
        [2**place for place in range(width)], dtype=xp.int32, device=device_of(bits)
    )
    apart = xp.reshape(bits, (*lead, (length + missing) // width, width))
    return xp.astype(xp.sum(apart * weights, axis=-1, dtype=xp.int32), xp.uint8)
