"""Bring out what tensors inside of If, Loop and Scan are, each time that these run.

Each gets a tape, a sequence of all values so far, flat. A Loop hands it from run to
run, a branch of If adds to it, or an empty piece where the other branch has the tensor.
So neither how often a body runs nor shapes that change meanwhile need be known.
"""

from collections.abc import Collection, Sequence

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import (
    bodies,
    enclosing_nodes,
    graph_of,
    nodes_around,
    states_of,
)
from qcore.adapters.onnx.graph.constants import add_constant
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import is_standard
from qcore.adapters.onnx.graph.tensors import tensors_by_name
from qcore.adapters.onnx.passes.scan_as_loop import scan_as_loop
from qcore.adapters.onnx.planning.observation import why_unobserved
from qcore.errors import QuantError

Tapes = dict[str, ir.Value]
"""What there is of each tape at some place, by the tensor that it is of."""


def with_tapes(
    model: ir.Model, tensors: Collection[str]
) -> tuple[ir.Model, dict[str, str]]:
    """Return a copy of a model that has all values of tensors in bodies, flat.

    Parameters
    ----------
    model : Model
        Its names are distinct.
    tensors : collection of str
        Inside of bodies.

    Returns
    -------
    model : Model
        With the same names, its weights shared.
    names : dict
        By tensor the name of what holds its values: ``[n]``, n = 0 if it never was.

    Raises
    ------
    QuantError
        If a tensor cannot be seen there.
    """
    values, enclosing = tensors_by_name(model.graph), enclosing_nodes(model.graph)
    for name in tensors:
        if reason := why_unobserved(values[name], enclosing, is_over=False):
            raise QuantError(f"{name!r} must be seen as the model runs, but {reason}.")
    copy = scan_as_loop(model.clone(), tensors)
    recorder = _Recorder(copy, tensors)
    return copy, recorder.record()


class _Recorder:
    """Threads tapes through a graph and the bodies inside of it."""

    def __init__(self, model: ir.Model, tensors: Collection[str]) -> None:
        self.graph, self.names = model.graph, Names(model.graph)
        values = tensors_by_name(model.graph)
        enclosing = enclosing_nodes(model.graph)
        self.homes = {name: graph_of(values[name]) for name in tensors}
        self.types = {name: _type(values[name]) for name in tensors}
        self.around = {
            name: set(nodes_around(home, enclosing))
            for name, home in self.homes.items()
        }
        self.rows = add_constant(
            self.graph, self.names, "tape_shape", np.asarray([-1], np.int64)
        )
        self.nothing: dict[ir.DataType, ir.Value] = {}

    def record(self) -> dict[str, str]:
        """Return by tensor the name of what holds all of its values."""
        tapes = {}
        for name in self.homes:
            start = self._made("SequenceConstruct", [self._empty(name)], name)
            self.graph.insert_before(self.graph[0], start)
            tapes[name] = self._typed(start.outputs[0], name)
        self._go_through(self.graph, tapes)
        found = {}
        for name, tape in tapes.items():
            joined = self._made("ConcatFromSequence", [tape], name, {"axis": 0})
            joined.outputs[0].type = self.types[name]
            self.graph.append(joined)
            found[name] = str(joined.outputs[0].name)
        return found

    def _go_through(self, graph: ir.Graph, tapes: Tapes) -> None:
        """Add to tapes what a graph and the bodies inside of it make."""
        for node in list(graph):
            inside = {n: tape for n, tape in tapes.items() if node in self.around[n]}
            if inside and is_standard(node, "If"):
                tapes.update(self._branch(node, inside))
            elif inside:
                tapes.update(self._repeat(graph, node, inside))
        own = {value.name: value for value in graph.inputs}
        own.update((value.name, value) for node in graph for value in node.outputs)
        for name in tapes:
            if self.homes[name] is graph:
                shape = [own[name], self.rows]
                flat = self._made("Reshape", shape, name)
                flat.outputs[0].type = self.types[name]
                graph.append(flat)
                tapes[name] = self._added(graph, tapes[name], flat.outputs[0], name)

    def _branch(self, node: ir.Node, tapes: Tapes) -> Tapes:
        """Let an If give tapes; a branch without a tensor adds an empty piece."""
        for branch in bodies(node):
            own = dict(tapes)
            self._go_through(branch, own)
            for name, tape in own.items():
                if tape is tapes[name]:
                    own[name] = self._added(branch, tape, self._empty(name), name)
            branch.outputs.extend(own.values())
        first = len(node.outputs)
        node.resize_outputs(first + len(tapes))
        return self._named(node.outputs[first:], tapes)

    def _repeat(self, graph: ir.Graph, node: ir.Node, tapes: Tapes) -> Tapes:
        """Put a Loop that hands tapes on in the place of one."""
        body = node.attributes["body"].as_graph()
        states = states_of(node)
        starts = {
            name: self._typed(ir.Value(name=self.names.fresh(f"{name}_tape")), name)
            for name in tapes
        }
        body.inputs.extend(starts.values())
        own = dict(starts)
        self._go_through(body, own)
        body.outputs[1 + states : 1 + states] = list(own.values())
        before = list(node.outputs)
        missing = [None] * (2 - len(node.inputs))
        longer = ir.Node(
            node.domain,
            node.op_type,
            [*node.inputs, *missing, *tapes.values()],
            node.attributes.values(),
            num_outputs=len(before) + len(tapes),
            name=node.name,
        )
        made = list(longer.outputs)
        # Tapes lie between what it handed on before and what it stacks.
        taped = made[states : states + len(tapes)]
        others = made[:states] + made[states + len(tapes) :]
        ir.convenience.replace_nodes_and_values(
            graph, node, [node], [longer], before, others
        )
        return self._named(taped, tapes)

    def _named(self, made: Sequence[ir.Value], tapes: Tapes) -> Tapes:
        """Return what a node makes of tapes, named and typed."""
        for value, name in zip(made, tapes, strict=True):
            value.name = self.names.fresh(f"{name}_tape")
            self._typed(value, name)
        return dict(zip(tapes, made, strict=True))

    def _added(
        self, graph: ir.Graph, tape: ir.Value, piece: ir.Value, name: str
    ) -> ir.Value:
        """Return a tape with a piece more."""
        longer = self._made("SequenceInsert", [tape, piece], name)
        graph.append(longer)
        return self._typed(longer.outputs[0], name)

    def _made(
        self,
        op_type: str,
        inputs: list[ir.Value],
        name: str,
        attributes: dict[str, int] | None = None,
    ) -> ir.Node:
        """Return a node with one output, both named after a tensor."""
        node = ir.node(op_type, inputs, attributes)
        node.name = node.outputs[0].name = self.names.fresh(f"{name}_{op_type}")
        return node

    def _typed(self, value: ir.Value, name: str) -> ir.Value:
        value.type = ir.SequenceType(self.types[name])
        return value

    def _empty(self, name: str) -> ir.Value:
        """Return the piece of a run that made no such tensor."""
        dtype = self.types[name].dtype
        if dtype not in self.nothing:
            none = np.zeros(0, dtype.numpy())
            new = add_constant(self.graph, self.names, "tape_nothing", none)
            self.nothing[dtype] = new
        return self.nothing[dtype]


def _type(value: ir.Value) -> ir.TensorType:
    assert value.dtype is not None
    return ir.TensorType(value.dtype)
