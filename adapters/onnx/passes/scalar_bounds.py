"""Make the bounds of every Clip scalars, as ONNX wants and onnxruntime relies on.

A bound of shape [1] runs, but keeps onnxruntime from merging the Clip with the
QuantizeLinear behind it, and by that the operator before it from computing in int8.
"""

import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.constants import add_constant, array_of, is_constant
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import is_standard


def scalar_bounds(model: ir.Model) -> ir.Model:
    """Return the model with every constant bound of a Clip as a scalar."""
    names = Names(model.graph)
    scalars: dict[ir.Value, ir.Value] = {}
    for node in model.graph.all_nodes():
        for index, bound in enumerate(node.inputs):
            if is_standard(node, "Clip") and index and is_constant(bound):
                array = array_of(bound)
                if array.shape == (1,):
                    if bound not in scalars:
                        scalars[bound] = add_constant(
                            graph_of(bound), names, str(bound.name), array.reshape(())
                        )
                    node.replace_input_with(index, scalars[bound])
    return model
