"""Operators that take or give codes themselves, and which operand of theirs is what.

Those of ONNX and of onnxruntime (``com.microsoft``).
"""

from collections.abc import Mapping
from typing import NamedTuple

import onnx_ir as ir

RESULT = -1
"""In place of an input: the first output."""


class Coded(NamedTuple):
    """Where an operator has codes, and what tells what these stand for.

    Attributes
    ----------
    codes : int
        Which input they are, or `RESULT`.
    scale, zero_point : int or None
        Which inputs these are; ``None``: other operators multiply by the scale, and
        zero points are 0.
    """

    codes: int
    scale: int | None
    zero_point: int | None


def _in_turn(*codes: int) -> tuple[Coded, ...]:
    """Return codes that are each followed by scale and zero point."""
    return tuple(Coded(first, first + 1, first + 2) for first in codes)


_INTEGER = (Coded(0, None, 2), Coded(1, None, 3))
_OF_ONE = (*_in_turn(0), Coded(RESULT, 3, 4))
_OF_TWO = (*_in_turn(0, 3), Coded(RESULT, 6, 7))

PRODUCTS: Mapping[str, tuple[Coded, ...]] = {
    "ConvInteger": _INTEGER,
    "DynamicQuantizeMatMul": _in_turn(1),
    "MatMulInteger": _INTEGER,
    "MatMulIntegerToFloat": (Coded(0, 2, 4), Coded(1, 3, 5)),
    "MatMulNBits": _in_turn(1),
    "QGemm": (*_in_turn(0, 3), Coded(RESULT, 7, 8)),
    "QLinearConv": _OF_TWO,
    "QLinearMatMul": _OF_TWO,
}
"""Products, with where they have codes."""

OTHERS: Mapping[str, tuple[Coded, ...]] = {
    "DequantizeLinear": _in_turn(0),
    "DynamicQuantizeLSTM": (Coded(1, 8, 9), Coded(2, 10, 11)),
    "QLinearAdd": _OF_TWO,
    "QLinearAveragePool": _OF_ONE,
    "QLinearConcat": (Coded(RESULT, 0, 1),),
    "QLinearGlobalAveragePool": _OF_ONE,
    "QLinearLeakyRelu": _OF_ONE,
    "QLinearMul": _OF_TWO,
    "QLinearReduceMean": _OF_ONE,
    "QLinearSigmoid": _OF_ONE,
    "QLinearSoftmax": _OF_ONE,
    "QLinearWhere": (*_in_turn(1, 4), Coded(RESULT, 7, 8)),
    "QuantizeLinear": (Coded(RESULT, 1, 2),),
}
"""Other operators, likewise."""

BIASES = {"QGemm": 6, "QLinearConv": 8}
"""Which input is a bias in codes, of the scale of the product."""

LINEAR = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})
"""Operators that turn reals into codes, and back."""

_PREFIXES = (
    "DynamicQuantize",
    "MatMulBlockQuantized",
    "MatMulNBits",
    "QLinear",
    "QOrdered",
)
"""How operators on codes begin."""

_NAMES = frozenset(
    {
        "DequantizeBFP",
        "DequantizeWithOrder",
        "GatherBlockQuantized",
        "MatMulBnb4",
        "MatMulFpQ4",
        "MatMulInteger16",
        "MulInteger",
        "QAttention",
        "QEmbedLayerNormalization",
        "QMoE",
        "QuantizeBFP",
        "QuantizeWithOrder",
        "ReduceSumInteger",
    }
)
"""Others of onnxruntime, of which no more is told than that they have codes."""


def has_codes(node: ir.Node) -> bool:
    """Return whether an operator takes or gives codes."""
    name = node.op_type
    return name in {*PRODUCTS, *OTHERS, *LINEAR, *_NAMES} or name.startswith(_PREFIXES)


def coded(node: ir.Node) -> tuple[Coded, ...]:
    """Return where an operator has codes, as far as that is known."""
    if node.op_type == "QLinearConcat":
        inputs = range(2, len(node.inputs) - 2, 3)
        return (*OTHERS[node.op_type], *_in_turn(*inputs))
    return PRODUCTS.get(node.op_type, OTHERS.get(node.op_type, ()))


def operand(node: ir.Node, place: int | None) -> ir.Value | None:
    """Return what a place of `Coded` is of a node, if it was given."""
    if place is None or place >= len(node.inputs):
        return None
    return node.outputs[0] if place == RESULT else node.inputs[place]
