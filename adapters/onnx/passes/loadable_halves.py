"""Write around a Concat of 16-bit floats what onnxruntime 1.31 must not merge.

It makes a QLinearConcat of one between codes, and cannot load that ("Type
'tensor(float16)' of input parameter of operator (QLinearConcat) is invalid"): here Max
stands before it, with the lowest number there is, which changes nothing.
"""

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import is_standard
from qcore.adapters.onnx.graph.replacement import Replacement


def loadable_halves(model: ir.Model) -> ir.Model:
    """Return the model with no Concat of float16 right between codes."""
    names = Names(model.graph)
    for node in list(model.graph.all_nodes()):
        x = node.inputs[0] if is_standard(node, "Concat") else None
        users = {use.node.op_type for use in node.outputs[0].uses()}
        if x is None or not (_is_decoded_half(x) and "QuantizeLinear" in users):
            continue
        new = Replacement(graph_of(node), names, node)
        lowest = np.finfo(np.float16).min
        held = new.add("Max", [x, new.constant("lowest", np.asarray(lowest))])
        held.shape = x.shape
        new.graph.insert_before(node, new.nodes)
        node.replace_input_with(0, held)
    return model


def _is_decoded_half(value: ir.Value) -> bool:
    """Return whether a value is of float16 and comes out of codes."""
    producer = value.producer()
    is_decoded = producer is not None and producer.op_type == "DequantizeLinear"
    return is_decoded and value.dtype == ir.DataType.FLOAT16
