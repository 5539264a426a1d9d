"""Models that are quantized before we see them."""

import onnx_ir as ir

from qcore.errors import QuantError

_NODES = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
_KERNELS = ("QLinear", "ConvInteger", "MatMulInteger", "MatMulNBits", "QGemm")
"""How the names of operators on codes begin; those of onnxruntime among them."""


def refuse_quantized(graph: ir.Graph, /) -> None:
    """
    Raise where a graph holds nodes that quantize or compute on codes.

    Raises
    ------
    QuantError
        It names the first node.
    """
    for node in graph.all_nodes():
        if node.op_type in _NODES or node.op_type.startswith(_KERNELS):
            raise QuantError(
                f"`model` must be a float model; {node.op_type} {node.name!r} "
                "quantizes already. Give the model that it was made of, or "
                "keep_existing to leave such nodes as they are."
            )
