"""Which operators of a quantized model compute on codes, in whatever form it is."""

from collections import Counter
from collections.abc import Collection, Iterator

import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import enclosing_nodes
from qcore.adapters.onnx.graph.code_operators import (
    LINEAR,
    PRODUCTS,
    RESULT,
    coded,
    has_codes,
)
from qcore.adapters.onnx.graph.operands import is_standard
from qcore.adapters.onnx.inspection.lookups import lookup_of
from qcore.adapters.onnx.planning.eligibility import why_float
from qcore.adapters.onnx.planning.plan import KeptFloat
from qcore.adapters.onnx.targets import Target


def is_quantized(graph: ir.Graph) -> bool:
    """Return whether anything is in codes."""
    return any(has_codes(node) or lookup_of(node) for node in graph.all_nodes())


def computing_on_codes(graph: ir.Graph, target: Target) -> list[str]:
    """Return the names of the products that compute on codes."""
    return [
        _name(node)
        for node in graph.all_nodes()
        if node.op_type in PRODUCTS
        or (is_standard(node, *target.compute) and not _floats(node))
    ]


def kept_float(graph: ir.Graph, target: Target) -> Iterator[KeptFloat]:
    """Yield the products that do not, and why."""
    enclosing = enclosing_nodes(graph)
    for node in graph.all_nodes():
        floats = _floats(node) if is_standard(node, *target.compute) else []
        if floats:
            plural = "are" if len(floats) > 1 else "is"
            reason = f"its {' and '.join(floats)} {plural} not in codes"
            why = (
                why_float(node, target, enclosing)
                or f"{target.name} could compute it on codes"
            )
            yield KeptFloat(_name(node), node.op_type, f"{reason}; {why}")


def other_operators(graph: ir.Graph, told: Collection[str]) -> dict[str, int]:
    """Return how many there are of each that neither reads nor gives codes."""
    codes = _codes(graph)
    return dict(
        Counter(
            node.op_type
            for node in graph.all_nodes()
            if not (has_codes(node) or node.op_type == "Constant")
            and _name(node) not in told
            and codes.isdisjoint(node.outputs)
            and not any(_is_decoded(value) for value in node.inputs)
            and not any(_is_encoded(value) for value in node.outputs)
        )
    )


def _codes(graph: ir.Graph) -> set[ir.Value]:
    """Return the tensors in codes, those that others pass on as they are among them."""
    found: set[ir.Value] = set()
    for node in graph.all_nodes():
        if has_codes(node):
            places = [place.codes for place in coded(node)]
            found.update(node.outputs if RESULT in places else ())
        elif node.op_type != "Cast" and (
            lookup_of(node) or (node.inputs and node.inputs[0] in found)
        ):
            found.update(node.outputs)
    return found


def _floats(node: ir.Node) -> list[str]:
    """Return which operands of a product do not come out of codes."""
    operands = zip(("input", "weight"), node.inputs, strict=False)
    return [what for what, operand in operands if not _is_decoded(operand)]


def _is_decoded(value: ir.Value | None) -> bool:
    producer = None if value is None else value.producer()
    return producer is not None and producer.op_type == "DequantizeLinear"


def _is_encoded(value: ir.Value) -> bool:
    return any(use.node.op_type in LINEAR for use in value.uses())


def _name(node: ir.Node) -> str:
    return node.name or str(node.outputs[0].name)
