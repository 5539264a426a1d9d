"""Give what is added to a stack of products the rank of the stack.

onnxruntime makes a Gemm between two Reshape of a MatMul and the Add of a vector, where
shapes are fixed; and has no kernel on codes for a Gemm whose bias is in floats. A bias
of shape ``[1, 1, N]``, which means the same, leaves it the MatMul, for which it has.
"""

import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.constants import add_constant, array_of, is_constant
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import is_standard

MATRIX = 2
"""The rank up to which the product is a Gemm, bias and all."""


def spread_biases(model: ir.Model) -> ir.Model:
    """Return the model with constants of full rank behind products of higher rank."""
    names = Names(model.graph)
    for node in model.graph.all_nodes():
        rank = _rank_of_product(node)
        for place, addend in enumerate(node.inputs) if rank > MATRIX else ():
            if is_constant(addend):
                array = array_of(addend)
                if 0 < array.ndim < rank:
                    shape = (1,) * (rank - array.ndim) + array.shape
                    spread = array.reshape(shape)
                    name = str(addend.name)
                    new = add_constant(
                        graph_of(addend), names, f"{name}_spread", spread
                    )
                    node.replace_input_with(place, new)
    return model


def _rank_of_product(node: ir.Node) -> int:
    """Return the rank of the MatMul whose result this node adds to, or else 0."""
    if not is_standard(node, "Add"):
        return 0
    for value in node.inputs:
        producer = None if value is None else value.producer()
        if producer is not None and is_standard(producer, "MatMul"):
            shape = producer.outputs[0].shape
            return 0 if shape is None else len(shape)
    return 0
