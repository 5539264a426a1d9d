"""How a tensor is to be quantized, and the scales that were decided for it."""

from dataclasses import dataclass, field

from qcore.formats import FloatFormat, Format, IntFormat, parse_format
from qcore.granularity import Granularity, PerTensor
from qcore.rounding import ROUNDINGS
from qcore.typing import Array

SCALE_DTYPES = ("float32", "float16", "bfloat16")


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
    scale_rounding, scale_format : None
        Reserved for block formats whose scales are themselves quantized.

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


_ALLOWED: dict[str, tuple[str | bool | None, ...]] = {
    "symmetric": (True, False),
    "rounding": ROUNDINGS,
    "scale_dtype": SCALE_DTYPES,
    "scale_rounding": (None,),
    "scale_format": (None,),
}


@dataclass(frozen=True, eq=False)
class QParams:
    """Scales and zero points, decided.

    Attributes
    ----------
    scale : array
        Positive, of the spec's scale dtype (float32 where the library lacks it). Of the
        rank of the data, with the kept extents of the granularity; 0-d where one scale
        serves tensors of any rank.
    zero_point : array
        int32, of the same shape; 0 where symmetric.
    spec : QuantSpec
        How codes are made with them.
    """

    scale: Array
    zero_point: Array
    spec: QuantSpec = field(metadata={"static": True})
