"""Which operators of a quantized model compute on codes, in whatever form it is."""

from typing import Any

QUANTIZED = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    }
)
"""Operators that take codes themselves."""

COMPUTE = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators that compute on codes where DequantizeLinear gives both their operands."""

MARKS = QUANTIZED | {"DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear"}


def is_quantized(model: Any) -> bool:
    """Return whether anything in a ModelProto is in codes."""
    return any(node.op_type in MARKS for node in model.graph.node)


def computing_on_codes(graph: Any) -> tuple[list[str], list[str]]:
    """Return the nodes that compute on codes, and a sentence on each that does not."""
    decoded = {
        name
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        for name in node.output
    }
    on_codes, in_float = [], []
    for node in graph.node:
        name = node.name or node.output[0]
        operands = zip(("input", "weight"), node.input, strict=False)
        floats = [what for what, operand in operands if operand not in decoded]
        if node.op_type in QUANTIZED or (node.op_type in COMPUTE and not floats):
            on_codes.append(name)
        elif node.op_type in COMPUTE:
            plural = (
                "its input and weight are" if len(floats) > 1 else f"its {floats[0]} is"
            )
            in_float.append(f"{node.op_type} {name!r} is float: {plural} not in codes.")
    return on_codes, in_float
