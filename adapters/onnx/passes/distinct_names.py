"""Give what lies inside of operators names that nothing else in the model has.

ONNX wants names to differ only where one is seen from the other: not those in the two
branches of an If. Here tensors and nodes are known by name alone.
"""

from collections.abc import Iterable

import onnx_ir as ir

from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.tensors import values_of


def distinct_names(model: ir.Model) -> ir.Model:
    """Return the model with names numbered that something before has, too.

    Those of the graph itself, which are distinct, stay.
    """
    names = Names(model.graph)
    graphs = list(model.graphs())
    _number(names, (value for graph in graphs for value in values_of(graph)))
    _number(names, (node for graph in graphs for node in graph))
    return model


def _number(names: Names, named: Iterable[ir.Value] | Iterable[ir.Node]) -> None:
    taken = set()
    for item in named:
        if item.name in taken:
            if isinstance(item, ir.Value):
                _detach(item)
            item.name = names.fresh(str(item.name))
        if item.name:
            taken.add(item.name)


def _detach(value: ir.Value) -> None:
    """Have the name of a constant no longer be that in the message it was read from."""
    tensor = value.const_value
    if isinstance(tensor, ir.serde.TensorProtoTensor):
        held, text = tensor.numpy(), tensor.doc_string
        value.const_value = ir.Tensor(
            held, tensor.dtype, name=tensor.name, doc_string=text
        )
