"""The tensors of a model that are quantized, none of which has scales yet."""

from collections.abc import Mapping

import onnx_ir as ir

from qcore import QuantSpec
from qcore.adapters.onnx.graph.clamps import after_clamp
from qcore.adapters.onnx.graph.constants import is_constant
from qcore.adapters.onnx.graph.operands import is_standard
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.ppq.config import Role, TensorQuantizationConfig
from qcore.adapters.ppq.parameters import BIAS, parameters, weight_spec
from qcore.adapters.ppq.states import QuantizationStates

Table = dict[str, TensorQuantizationConfig]
"""By the name of the tensor; activations first, each kind in the order of the graph."""

BOUNDS: Mapping[str, tuple[Role, tuple[int, ...]]] = {
    "Clip": ("clip", (1, 2)),
    "Pad": ("pad", (2,)),
}
"""Which operands of an operator have the scale of what it gets."""


def table_of(
    graph: ir.Graph, plan: Plan, spec: QuantSpec, weight: str, *, bias_codes: bool
) -> Table:
    """
    Return how each tensor of a plan is going to be quantized.

    Parameters
    ----------
    graph : Graph
        Prepared.
    plan : Plan
        Of that graph.
    spec : QuantSpec
        Of the activations.
    weight : str
        The format of weights.
    bias_codes : bool
        Whether biases get codes.
    """
    table: Table = {}
    for name in plan.tensors:
        table[name] = TensorQuantizationConfig(
            name, QuantizationStates.INITIAL, spec=spec
        )
    for name, (first, *_) in plan.tensors.items():
        _dominate(table, name, first)
    for node in graph.all_nodes():
        if node.name in plan.compute:
            _overlap(table, node.outputs[0], after_clamp(node.outputs[0]), spec)
        if is_standard(node, *BOUNDS):
            _bound(table, node, spec)
    for parameter in parameters(graph, plan):
        is_bias = parameter.place == BIAS
        state = QuantizationStates.INITIAL
        if is_bias:
            has_codes = bias_codes and parameter.takes_codes
            passive, floats = QuantizationStates.PASSIVE_INIT, QuantizationStates.FP32
            state = passive if has_codes else floats
        name = str(parameter.value.name)
        table.setdefault(
            name,
            TensorQuantizationConfig(
                name,
                state,
                spec=None if is_bias else weight_spec(weight, parameter),
                observer_algorithm="minmax",
                role="bias" if is_bias else "weight",
            ),
        )
    return table


def _dominate(table: Table, name: str, first: str) -> None:
    """Give a tensor the scale of the first of those it shares one with."""
    if name != first:
        table[name].master = table[first]
        table[name].state = QuantizationStates.OVERLAPPED


def _overlap(
    table: Table, result: ir.Value, clamped: ir.Value, spec: QuantSpec
) -> None:
    """Add the result of a product that is in codes only after a clamp."""
    name, master = str(result.name), table.get(str(clamped.name))
    if name not in table and master is not None:
        state = QuantizationStates.OVERLAPPED
        table[name] = TensorQuantizationConfig(name, state, spec=spec, master=master)


def _bound(table: Table, node: ir.Node, spec: QuantSpec) -> None:
    """Add what a Clip or a Pad compares or fills with, if what it gets has codes."""
    given = node.inputs[0]
    master = None if given is None else table.get(str(given.name))
    if master is None:
        return
    role, indices = BOUNDS[node.op_type]
    for index in indices:
        value = node.inputs[index] if index < len(node.inputs) else None
        if is_constant(value):
            table[str(value.name)] = TensorQuantizationConfig(
                str(value.name),
                QuantizationStates.PASSIVE_INIT,
                spec=spec,
                role=role,
                master=master,
            )
