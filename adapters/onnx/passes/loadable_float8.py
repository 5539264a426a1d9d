"""Write around float8 what onnxruntime 1.31 must not merge.

Unless told to merge nothing, it answers wrong or cannot load the model. Both forms give
the very same numbers.

1. It drops a Relu in front of a QuantizeLinear, as if codes could not be negative; a
   Clip there it cannot load ("Unexpected data type for QuantizeLinear"): here Max and
   Min.
2. It merges a MatMul with the DequantizeLinear of both operands, and cannot load that
   ("Type 'tensor(float8e4m3fn)' of input parameter of operator (MatMulIntegerToFloat)
   is invalid"): here Cast and Mul dequantize the second operand. So it does with a
   Gemm, unless that has a bias and answers in floats: here they dequantize what is no
   weight, since it makes codes of floats that it finds in the weight's place.
3. It moves a QuantizeLinear ahead of a Transpose and others, which have no kernel for
   codes of float8: here Max stands between, with the lowest number that has a code.
"""

import numpy as np
import onnx_ir as ir

from qcore import parse_format
from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.clamps import CLAMPS
from qcore.adapters.onnx.graph.constants import array_of, is_constant
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import MATRICES, bias, is_standard
from qcore.adapters.onnx.graph.replacement import Replacement
from qcore.adapters.onnx.planning.sharing import moves

FLOAT8S = (ir.DataType.FLOAT8E4M3FN, ir.DataType.FLOAT8E5M2)
"""The codes of float8."""


def loadable_float8(model: ir.Model) -> ir.Model:
    """Return the model with nothing around float8 that onnxruntime merges."""
    names = Names(model.graph)
    for node in list(model.graph.all_nodes()):
        graph = graph_of(node)
        if node.op_type == "QuantizeLinear" and _is_moved(node):
            _hold(Replacement(graph, names, node))
        elif is_standard(node, *CLAMPS) and _becomes_float8(node.outputs[0]):
            _split(Replacement(graph, names, node))
        elif is_standard(node, *MATRICES) and not _answers_in_floats(node):
            read = [_dequantizing_float8(value) for value in node.inputs[:2]]
            place = int(node.op_type == "MatMul" or _is_weight(read[0]))
            reader = read[place]
            if all(read) and reader is not None:
                node.replace_input_with(place, _cast(graph, names, node, reader))
    return model


def _is_moved(node: ir.Node) -> bool:
    """Return whether a node of float8 codes follows one that only moves values."""
    x = node.inputs[0]
    producer = None if x is None else x.producer()
    is_float8 = node.outputs[0].dtype in FLOAT8S
    return is_float8 and producer is not None and moves(producer)


def _hold(new: Replacement) -> None:
    """Put a Max that changes no code in front of a QuantizeLinear."""
    x, scale = new.node.inputs[:2]
    dtype = new.node.outputs[0].dtype
    assert x is not None
    assert is_constant(scale)
    assert dtype is not None
    step = array_of(scale)
    lowest = -step * step.dtype.type(parse_format(dtype.numpy().name).max)
    held = new.add("Max", [x, new.constant("lowest", lowest)])
    held.shape = x.shape
    (node,) = new.nodes
    new.graph.insert_before(new.node, node)
    new.node.replace_input_with(0, held)


def _becomes_float8(value: ir.Value) -> bool:
    return any(
        use.node.op_type == "QuantizeLinear" and use.node.outputs[0].dtype in FLOAT8S
        for use in value.uses()
    )


def _answers_in_floats(node: ir.Node) -> bool:
    """Return whether this is a Gemm with a bias and without codes behind it."""
    users = {use.node.op_type for use in node.outputs[0].uses()}
    is_biased = node.op_type == "Gemm" and bias(node) is not None
    return is_biased and "QuantizeLinear" not in users


def _is_weight(read: ir.Node | None) -> bool:
    return read is not None and is_constant(read.inputs[0])


def _dequantizing_float8(value: ir.Value | None) -> ir.Node | None:
    """Return the node that makes a value of float8 codes, if that is what it is."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    return node if node.inputs[0].dtype in FLOAT8S else None


def _split(new: Replacement) -> None:
    x, *bounds = new.node.inputs
    written_as = new.node.op_type
    if written_as == "Relu":
        assert x is not None
        zero = np.zeros((), np.float32 if x.dtype is None else x.dtype.numpy())
        bounds = [new.constant("zero", zero)]
    for op_type, bound in zip(("Max", "Min"), bounds, strict=False):
        if bound is not None:
            assert x is not None
            x = new.add(op_type, [x, bound])
    if new.nodes:
        assert x is not None
        new.finish(x, new.nodes[-1], written_as)


def _cast(graph: ir.Graph, names: Names, before: ir.Node, read: ir.Node) -> ir.Value:
    """Return what a node makes of codes, made in another way.

    Scales are one, or lie along the last axis, which is that of a matrix's columns.
    """
    codes, scale = read.inputs[:2]
    assert scale is not None
    cast = ir.node("Cast", [codes], {"to": scale.dtype})
    multiply = ir.node("Mul", [cast.outputs[0], scale])
    for node in (cast, multiply):
        node.name = names.fresh(f"{read.name}_{node.op_type}")
        made = node.outputs[0]
        made.name = names.fresh(f"{read.outputs[0].name}_{node.op_type}")
        made.type, made.shape = scale.type, read.outputs[0].shape
        graph.insert_before(before, node)
    return multiply.outputs[0]
