"""Which codes an observer may use: by dtype, scheme, `quant_min` and `quant_max`.

The Horizon plugin asserts all of this; here each breach is a ValueError.
"""

from dataclasses import dataclass
from typing import TypeAlias

import torch

from qcore import IntFormat, parse_format
from qcore.formats import Format

DType: TypeAlias = torch.dtype | str | Format

_FORMATS = {
    torch.qint8: "int8",
    torch.quint8: "uint8",
    torch.int8: "int8",
    torch.uint8: "uint8",
    torch.int16: "int16",
    torch.uint16: "uint16",
    torch.float8_e4m3fn: "float8_e4m3fn",
    torch.float8_e5m2: "float8_e5m2",
}

_SCHEMES = {
    torch.per_tensor_symmetric: (False, True),
    torch.per_tensor_affine: (False, False),
    torch.per_channel_symmetric: (True, True),
    torch.per_channel_affine: (True, False),
}
"""Whether each is per channel, and whether it is symmetric."""


@dataclass(frozen=True)
class CodeRange(IntFormat):
    """Integers from any lowest to any highest code, zero among them."""

    lowest: int = 0
    highest: int = 0

    @property
    def qmin(self) -> int:
        """The lowest code."""
        return self.lowest

    @property
    def qmax(self) -> int:
        """The highest code."""
        return self.highest


def parse_dtype(dtype: DType, /) -> tuple[torch.dtype, Format]:
    """
    Return the dtype that PyTorch holds the codes in, and their format.

    Parameters
    ----------
    dtype : torch.dtype, str or format
        ``torch.qint8``, ``torch.int8`` and the like; a name of the Horizon plugin,
        ``"qint4"`` to ``"qint16"`` or ``"quint8"``, whose codes PyTorch holds in its
        quantized dtypes where it has one; or a format of qcore or its name.

    Raises
    ------
    ValueError
        If PyTorch's dtype is not one of codes, or no format has the name.
    """
    if isinstance(dtype, torch.dtype):
        if dtype not in _FORMATS:
            known = ", ".join(map(str, _FORMATS))
            raise ValueError(f"`dtype` must be one of {known}; got {dtype}.")
        return dtype, parse_format(_FORMATS[dtype])
    if isinstance(dtype, str) and dtype.startswith(("qint", "quint")):
        fmt = parse_format(dtype.removeprefix("q"))
        held = fmt.storage if fmt.bits > 8 else f"q{fmt.storage}"
    else:
        fmt = parse_format(dtype)
        held = fmt.name if fmt.name in _FORMATS.values() else fmt.storage
    return getattr(torch, held), fmt


def bounded(
    fmt: Format,
    quant_min: int | None,
    quant_max: int | None,
    /,
    *,
    reduce_range: bool = False,
) -> Format:
    """
    Return the format of the codes from `quant_min` to `quant_max`.

    Parameters
    ----------
    fmt : format
        What the codes are taken from; where a bound is None, its own.
    quant_min, quant_max : int or None
        The lowest and the highest code.
    reduce_range : bool, optional
        Leave out the half of the codes that is farthest from zero: one bit less.

    Raises
    ------
    ValueError
        If the bounds do not ascend, leave out zero or are beyond those of the format;
        or if they are given for a format of floats.
    TypeError
        If a bound is no integer.
    """
    if not isinstance(fmt, IntFormat):
        if (quant_min, quant_max, reduce_range) != (None, None, False):
            raise ValueError(
                f"`quant_min`, `quant_max` and `reduce_range` must not be given for "
                f"{fmt.name}, whose codes are floats."
            )
        return fmt
    low = fmt.qmin if quant_min is None else quant_min
    high = fmt.qmax if quant_max is None else quant_max
    for name, bound in (("quant_min", low), ("quant_max", high)):
        if not isinstance(bound, int):
            raise TypeError(f"`{name}` must be an integer; got {bound!r}.")
    if reduce_range:
        low, high = low // 2, high // 2
    if not fmt.qmin <= low <= 0 <= high <= fmt.qmax or low == high:
        raise ValueError(
            f"`quant_min` and `quant_max` must ascend from {fmt.qmin} to {fmt.qmax}, "
            f"the codes of {fmt.name}, with zero among them; got {low} and {high}."
        )
    if (low, high) == (fmt.qmin, fmt.qmax):
        return fmt
    is_signed = low < 0
    width = max((-1 - low).bit_length(), high.bit_length()) + is_signed
    return CodeRange(max(width, 2), is_signed, lowest=low, highest=high)


def check_scheme(qscheme: torch.qscheme, ch_axis: int, /) -> tuple[bool, bool]:
    """
    Return whether a scheme is per channel, and whether it is symmetric.

    Raises
    ------
    ValueError
        If it is another scheme, or `ch_axis` is negative just if it is per channel.
    TypeError
        If `ch_axis` is no integer.
    """
    if not isinstance(qscheme, torch.qscheme) or qscheme not in _SCHEMES:
        known = ", ".join(map(str, _SCHEMES))
        raise ValueError(f"`qscheme` must be one of {known}; got {qscheme}.")
    if not isinstance(ch_axis, int):
        raise TypeError(f"`ch_axis` must be an integer; got {ch_axis!r}.")
    is_per_channel, is_symmetric = _SCHEMES[qscheme]
    if is_per_channel and ch_axis < 0:
        raise ValueError(
            f"`ch_axis` must not be negative for {qscheme}; got {ch_axis}."
        )
    if not is_per_channel and ch_axis >= 0:
        raise ValueError(f"`ch_axis` must be negative for {qscheme}; got {ch_axis}.")
    return is_per_channel, is_symmetric
