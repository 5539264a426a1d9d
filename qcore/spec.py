"""How a tensor is to be quantized, and the scales that were decided for it."""

from dataclasses import dataclass, field

from qcore.formats import FloatFormat, Format, IntFormat, parse_format
from qcore.granularity import Granularity, PerTensor
from qcore.rounding import ROUNDINGS
from qcore.typing import Array

SCALE_DTYPES = ("float32", "float16", "bfloat16")
E8M0, E4M3 = "float8_e8m0fnu", "float8_e4m3fn"
"""Formats that scales may have."""

SCALE_ROUNDINGS = {E8M0: ("up", "floor", "nearest"), E4M3: ("half_even", "up")}
"""Of scales in each format; the first is the default."""


class FormatField:
    """A field that takes a format or its name, and gives the format."""

    def __get__(self, spec: object | None, _: type | None = None) -> Format:
        """Return the format; of the class, the default one."""
        return IntFormat(8) if spec is None else vars(spec)["format"]

    def __set__(self, spec: object, given: str | Format) -> None:
        """Parse a name."""
        vars(spec)["format"] = parse_format(given)


@dataclass(frozen=True)
class QuantSpec:
    """How a tensor is to be quantized; hashable, so usable as a static jit argument.

    Parameters
    ----------
    format : str or format, optional
        Which numbers codes stand for; a name is parsed.
    granularity : granularity, optional
        Which elements share a scale.
    symmetric : bool, optional
        Zero point 0. An asymmetric range has its own zero point; integers only.
    rounding : str, optional
        How ``x / scale`` becomes a whole code, or a number of a float format. To the
        nearest: ``"half_even"``, ``"half_up"`` (ties to the larger one),
        ``"half_down"``, ``"half_toward_zero"``, ``"half_away"``. To one side:
        ``"up"``, ``"down"``, ``"toward_zero"``; methods and `expected_error` reckon
        with the nearest even so. Zero points are rounded half to even.
    scale_dtype : str, optional
        ``"float32"``, ``"float16"`` or ``"bfloat16"``; scales are rounded **up** to it
        before codes are computed.
    scale_rounding : str, optional
        How scales become numbers of `scale_format`. ``"float8_e8m0fnu"``: ``"up"``, the
        default, to the least power of two with which nothing saturates; ``"floor"``,
        the rule of OCP MX v1.0, ``2**floor(log2(amax))`` over the largest power of two
        that is a code; ``"nearest"``, by their logarithm, halves up.
        ``"float8_e4m3fn"``: ``"half_even"``, the default, or ``"up"``.
    scale_format : str, optional
        ``"float8_e8m0fnu"``: scales are powers of two (MX, and POWER_OF_2 of PPQ).
        ``"float8_e4m3fn"``: each is such a number times one global scale (NVFP4);
        symmetric only.

    Raises
    ------
    ValueError
        If the fields contradict each other.
    """

    format: FormatField = FormatField()
    granularity: Granularity = field(default_factory=PerTensor)
    symmetric: bool = True
    rounding: str = "half_even"
    scale_dtype: str = "float32"
    scale_rounding: str | None = None
    scale_format: str | None = None

    def __post_init__(self) -> None:
        """Refuse contradictions."""
        if isinstance(self.format, FloatFormat):
            if not self.format.signed:
                raise ValueError(
                    f"{self.format.name} is a format of scales, not of data."
                )
            if not self.symmetric:
                raise ValueError(
                    f"{self.format.name} must be symmetric: floats have no zero point."
                )
        if not isinstance(self.granularity, Granularity):
            raise TypeError(
                "`granularity` must be PerTensor(), PerChannel(axis) or "
                f"PerBlock(axis, size); got {self.granularity!r}."
            )
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"`{name}` must be one of {allowed}; got {getattr(self, name)!r}."
                )
        self._check_scales()

    def _check_scales(self) -> None:
        """Refuse what scales of the chosen format cannot be."""
        allowed = SCALE_ROUNDINGS.get(self.scale_format or "", ())
        if self.scale_rounding not in (None, *allowed):
            raise ValueError(
                f"`scale_rounding` must be one of {(None, *allowed)} for the scale "
                f"format {self.scale_format!r}; got {self.scale_rounding!r}."
            )
        if self.scale_format is not None and self.scale_dtype != "float32":
            raise ValueError(
                f"`scale_dtype` must be 'float32' for scales of {self.scale_format}; "
                f"got {self.scale_dtype!r}."
            )
        if self.scale_format == E4M3 and not self.symmetric:
            raise ValueError(
                f"`symmetric` must be true for scales of {E4M3}; got {self.symmetric}."
            )


_ALLOWED: dict[str, tuple[str | bool | None, ...]] = {
    "symmetric": (True, False),
    "rounding": ROUNDINGS,
    "scale_dtype": SCALE_DTYPES,
    "scale_format": (None, *SCALE_ROUNDINGS),
}


@dataclass(frozen=True, eq=False)
class QParams:
    """Scales and zero points, decided.

    Attributes
    ----------
    scale : array
        Positive, of the spec's scale dtype (float32 where the library lacks it). Of the
        rank of the data, with the kept extents of the granularity; 0-d where one scale
        serves tensors of any rank. If the spec has a scale format, what the stored
        scales stand for, the global one multiplied in.
    zero_point : array
        int32, of the same shape; 0 where symmetric.
    spec : QuantSpec
        How codes are made with them.
    global_scale : array or None
        float32, 0-d or broadcasting against `scale`: what scales of float8_e4m3fn are
        multiples of.
    """

    scale: Array
    zero_point: Array
    spec: QuantSpec = field(metadata={"static": True})
    global_scale: Array | None = None
