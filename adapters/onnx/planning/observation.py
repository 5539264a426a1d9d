"""Whether the values of a tensor are seen when a model runs, and if not, why."""

import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import OBSERVED, Enclosing, nodes_around
from qcore.adapters.onnx.graph.operands import is_standard
from qcore.adapters.onnx.passes.scan_as_loop import why_no_loop
from qcore.adapters.onnx.planning.eligibility import Reason


def why_unobserved(value: ir.Value, enclosing: Enclosing, *, is_over: bool) -> Reason:
    """Return why nothing is known of a tensor's values, or ``None``.

    Parameters
    ----------
    value : Value
        Of which there are no statistics.
    enclosing : mapping
        Of the graph that has it, in itself or in bodies.
    is_over : bool
        Whether the model ran already.
    """
    around = list(nodes_around(value.graph, enclosing))
    for node in around:
        if not is_standard(node, *OBSERVED):
            return f"{value.name!r} lies inside {node.op_type}, where no range is seen"
        if node.op_type == "Scan" and (reason := why_no_loop(node)):
            return reason
    if around and value.dtype is None:
        return f"the type of {value.name!r} is unknown"
    if not is_over:
        return None
    maybe = ", perhaps since its body never ran" if around else ""
    return f"{value.name!r} was not calibrated{maybe}"
