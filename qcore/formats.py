"""The sets of numbers that codes stand for.

Names are those of ONNX and ml_dtypes. The 6- and 4-bit floats are the ones of the OCP
Microscaling specification; float8 is of "FP8 Formats for Deep Learning"
(arXiv:2209.05433).
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from qcore.errors import UnknownFormatError, nearest


@dataclass(frozen=True)
class IntFormat:
    """Integers of a given width.

    Parameters
    ----------
    bits : int
        Width, 2 to 16.
    signed : bool, optional
        Two's complement if true, else from zero up.
    narrow : bool, optional
        Leave out the lowest code, so that codes are symmetric; signed only.

    Raises
    ------
    ValueError
        If the width is out of range or a narrow format is unsigned.
    """

    bits: int
    signed: bool = True
    narrow: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be stored."""
        if not (isinstance(self.bits, int) and 2 <= self.bits <= 16):
            raise ValueError(
                f"`bits` must be an integer from 2 to 16; got {self.bits!r}."
            )
        if self.narrow and not self.signed:
            raise ValueError("`narrow` must be false for an unsigned format.")

    @property
    def name(self) -> str:
        """The format's name, such as ``"int8"``; narrow formats share it."""
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @property
    def qmin(self) -> int:
        """The lowest code."""
        return (self.narrow - (1 << (self.bits - 1))) if self.signed else 0

    @property
    def qmax(self) -> int:
        """The highest code."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def max(self) -> int:
        """The number that amax is mapped to: the highest code."""
        return self.qmax

    @property
    def storage(self) -> str:
        """The dtype codes are held in: 8 bits where they fit, else 16."""
        return f"{'' if self.signed else 'u'}int{8 if self.bits <= 8 else 16}"


@dataclass(frozen=True)
class FloatFormat:
    """Floating-point numbers of at most eight bits; `parse_format` has those known.

    Parameters
    ----------
    name : str
        As in ml_dtypes, such as ``"float8_e4m3fn"``.
    exponent, mantissa : int
        Widths of the two fields in bits.
    bias : int
        Subtracted from the exponent field.
    max_code : int
        Code of the largest finite number.
    nan_code : int or None
        A code that is NaN, of positive sign; ``None`` where the format has none.
    signed : bool, optional
        Whether the top bit is a sign.
    """

    name: str
    exponent: int
    mantissa: int
    bias: int
    max_code: int
    nan_code: int | None
    signed: bool = True

    @property
    def bits(self) -> int:
        """Width of a code in bits."""
        return self.signed + self.exponent + self.mantissa

    @property
    def sign_bit(self) -> int:
        """What codes of negative numbers have more than those of their magnitudes."""
        return self.signed << (self.bits - 1)

    @property
    def stored_nan(self) -> int:
        """What NaN is encoded as: as itself, or else as the lowest number."""
        return self.max_code + self.sign_bit if self.nan_code is None else self.nan_code

    @property
    def storage(self) -> str:
        """The dtype that holds the bit patterns."""
        return "uint8"

    @property
    def max(self) -> float:
        """The largest finite number."""
        return self.magnitudes[-1]

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal number."""
        return 1 - self.bias

    @cached_property
    def magnitudes(self) -> tuple[float, ...]:
        """The finite numbers from zero up, in the order of their codes."""
        return tuple(self._magnitude(code) for code in range(self.max_code + 1))

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The number each of the ``2**bits`` codes stands for, infinity and NaN too."""
        half = [
            self._decode(code) for code in range(2 ** (self.exponent + self.mantissa))
        ]
        return tuple(half + [-value for value in half] if self.signed else half)

    def _magnitude(self, code: int) -> float:
        field, fraction = divmod(code, 1 << self.mantissa)
        if not self.signed:  # powers of two alone: no zero, no subnormal numbers
            return math.ldexp(1, field - self.bias)
        if field == 0:
            return math.ldexp(fraction, self.min_exponent - self.mantissa)
        significand = (1 << self.mantissa) + fraction
        return math.ldexp(significand, field - self.bias - self.mantissa)

    def _decode(self, code: int) -> float:
        if code <= self.max_code:
            return self._magnitude(code)
        is_inf = self.name == "float8_e5m2" and code == self.max_code + 1
        return float("inf") if is_inf else float("nan")


Format: TypeAlias = IntFormat | FloatFormat

_FLOATS = (
    FloatFormat("float8_e4m3fn", 4, 3, 7, 0x7E, 0x7F),
    FloatFormat("float8_e5m2", 5, 2, 15, 0x7B, 0x7E),
    FloatFormat("float6_e2m3fn", 2, 3, 1, 0x1F, None),
    FloatFormat("float6_e3m2fn", 3, 2, 3, 0x1F, None),
    FloatFormat("float4_e2m1fn", 2, 1, 1, 0x07, None),
    FloatFormat("float8_e8m0fnu", 8, 0, 127, 0xFE, 0xFF, signed=False),
)
_INTS = tuple(
    IntFormat(bits, signed) for bits in range(2, 17) for signed in (True, False)
)
_ALL: tuple[Format, ...] = (*_FLOATS, *_INTS)
_FORMATS = {known.name: known for known in _ALL}


def parse_format(name: str | Format, /) -> Format:
    """Return the format called `name`; a format is returned as it is.

    Parameters
    ----------
    name : str or format
        ``"int2"`` … ``"int16"``, ``"uint2"`` … ``"uint16"``, ``"float8_e4m3fn"``,
        ``"float8_e5m2"``, ``"float6_e2m3fn"``, ``"float6_e3m2fn"``,
        ``"float4_e2m1fn"`` or ``"float8_e8m0fnu"`` (scales only).

    Raises
    ------
    UnknownFormatError
        If no format has that name; it names the nearest.
    """
    if isinstance(name, IntFormat | FloatFormat):
        return name
    if not isinstance(name, str):
        raise TypeError(
            f"`format` must be a name or a format; got {type(name).__name__}."
        )
    if name not in _FORMATS:
        hint = nearest(re.sub(r"^fp(?=\d)", "float", name), _FORMATS)
        raise UnknownFormatError(f"`format` must be a known name; got {name!r}: {hint}")
    return _FORMATS[name]
