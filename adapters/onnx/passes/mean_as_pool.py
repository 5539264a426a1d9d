"""Write the mean over all places of an image as GlobalAveragePool.

onnxruntime has an integer kernel for it, but none for ReduceMean.
"""

import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import array_of, is_constant
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import integer_attribute, is_standard
from qcore.adapters.onnx.graph.replacement import Replacement


def mean_as_pool(model: ir.Model) -> ir.Model:
    """Return the model with GlobalAveragePool for means over all spatial axes."""
    names = Names(model.graph)
    for graph in model.graphs():
        for node in list(graph):
            if is_standard(node, "ReduceMean") and _is_spatial(node):
                new = Replacement(graph, names, node)
                assert node.inputs[0] is not None
                result = new.add("GlobalAveragePool", [node.inputs[0]])
                pool = new.nodes[-1]
                if not integer_attribute(node, "keepdims", 1):
                    result = new.add("Flatten", [result])
                new.finish(result, pool, "ReduceMean")
    return model


def _is_spatial(node: ir.Node) -> bool:
    """Return whether the mean is over all axes but the first two, of which are some."""
    x, *rest = node.inputs
    if x is None or x.shape is None or len(x.shape) < 3:
        return False
    axes = None
    if rest and is_constant(rest[0]):
        axes = [int(axis) for axis in array_of(rest[0])]
    elif not rest and "axes" in node.attributes:
        axes = list(node.attributes["axes"].as_ints())
    rank = len(x.shape)
    return axes is not None and sorted(a % rank for a in axes) == list(range(2, rank))
