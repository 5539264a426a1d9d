"""Models that are quantized before we see them."""

from itertools import chain

import onnx_ir as ir

from qcore.adapters.onnx.graph.code_operators import has_codes
from qcore.errors import QuantError


def refuse_quantized(model: ir.Model, /) -> None:
    """
    Raise where a model holds nodes that quantize or compute on codes.

    Raises
    ------
    QuantError
        It names the first node.
    """
    inside = (function.all_nodes() for function in model.functions.values())
    for node in chain(model.graph.all_nodes(), *inside):
        if has_codes(node):
            raise QuantError(
                f"`model` must be a float model; {node.op_type} {node.name!r} "
                "quantizes already. Give the model that it was made of, or "
                "keep_existing to leave such nodes as they are."
            )
