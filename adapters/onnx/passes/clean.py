"""Give every node and tensor its own name; drop what nothing uses."""

import onnx_ir as ir
from onnx_ir.passes.common import NameFixPass, RemoveUnusedNodesPass
from onnx_ir.passes.common.naming import SimpleNameGenerator

TOOL_NOTES = "pkg.onnxscript."  # how onnxscript marks what it has rewritten


class _AfterOperator(SimpleNameGenerator):
    """Names a node after its operator where the model gives it no name."""

    def generate_node_name(self, node: ir.Node) -> str:
        return node.name or node.op_type


def clean(model: ir.Model) -> ir.Model:
    """Return the model without unused nodes and initializers, all names distinct."""
    model = RemoveUnusedNodesPass()(model).model
    for body in model.graph.subgraphs():  # where the pass drops nodes alone
        _drop_constants(body)
    model = name_all(model)
    for node in model.graph.all_nodes():
        _drop_notes(node.metadata_props)
        for value in node.outputs:
            _drop_notes(value.metadata_props)
    return model


def name_all(model: ir.Model) -> ir.Model:
    """Return the model with a name of its own for each node and tensor."""
    named: ir.Model = NameFixPass(_AfterOperator())(model).model
    return named


def _drop_constants(body: ir.Graph) -> None:
    ends = {*body.inputs, *body.outputs}
    for name, value in list(body.initializers.items()):
        if not value.uses() and value not in ends:
            del body.initializers[name]


def _drop_notes(metadata: dict[str, str]) -> None:
    for key in [key for key in metadata if key.startswith(TOOL_NOTES)]:
        del metadata[key]
