"""What of a quantization ONNX can say, and from which opset on."""

from dataclasses import dataclass
from math import prod

from qcore.errors import QuantError
from qcore.formats import Format, IntFormat, parse_format
from qcore.granularity import PerBlock
from qcore.spec import QParams

BLOCKS = 21
"""The opset with scales of blocks, and with output types that no zero point tells."""

AXES = 13
"""The opset with several scales along an axis."""


@dataclass(frozen=True)
class OnnxType:
    """A type that codes may have."""

    name: str
    number: int
    """Of ``onnx.TensorProto.DataType``."""
    opset: int
    """The first in which QuantizeLinear gives it."""


_TYPES = {
    known.name: known
    for known in (
        OnnxType("uint8", 2, 10),
        OnnxType("int8", 3, 10),
        OnnxType("uint16", 4, BLOCKS),
        OnnxType("int16", 5, BLOCKS),
        OnnxType("uint4", 21, BLOCKS),
        OnnxType("int4", 22, BLOCKS),
        OnnxType("float8_e4m3fn", 17, 19),
        OnnxType("float8_e5m2", 19, 19),
        OnnxType("float4_e2m1fn", 23, 23),
    )
}


def type_of(fmt: Format, /) -> OnnxType:
    """
    Return the type that holds codes of a format; other widths lie in a wider one.

    Raises
    ------
    QuantError
        If ONNX has none.
    """
    name = fmt.name
    if name not in _TYPES and isinstance(fmt, IntFormat):
        name = f"{'' if fmt.signed else 'u'}int{8 if fmt.bits < 8 else 16}"
    if name not in _TYPES:
        raise QuantError(
            f"the format must be one of {', '.join(_TYPES)} or other integers to be "
            f"exported; got {name}, which ONNX lacks."
        )
    return _TYPES[name]


def format_of(number: int, /) -> Format | None:
    """Return the format of a type, an ``onnx.TensorProto.DataType``, if it has one."""
    names = {known.number: known.name for known in _TYPES.values()}
    return parse_format(names[number]) if number in names else None


def limits_of(fmt: Format, /) -> tuple[int | None, int | None]:
    """Return the ends of a format that the type holding it does not have by itself."""
    if not isinstance(fmt, IntFormat):
        return None, None
    held = parse_format(type_of(fmt).name)
    assert isinstance(held, IntFormat)
    return (
        fmt.qmin if fmt.qmin != held.qmin else None,
        fmt.qmax if fmt.qmax != held.qmax else None,
    )


def opset_of(qparams: QParams, /) -> int:
    """
    Return the first opset that has what the scales of a quantizer need.

    Raises
    ------
    QuantError
        If none has.
    """
    spec = qparams.spec
    several = prod(qparams.scale.shape) > 1
    opset = type_of(spec.format).opset
    if spec.rounding != "half_even":
        raise QuantError(
            f"`rounding` must be 'half_even' to be exported, as ONNX has it; got "
            f"{spec.rounding!r}."
        )
    if several and isinstance(spec.granularity, PerBlock):
        return max(opset, BLOCKS)
    if sum(n != 1 for n in qparams.scale.shape) > 1:
        raise QuantError(
            "scales must lie along one axis, or be those of blocks, to be exported; "
            f"got the shape {tuple(qparams.scale.shape)}."
        )
    return max(opset, AXES if several else 0)
