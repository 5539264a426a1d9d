"""What operators meant in old opsets, where onnx's converter forgets to say so.

Tried with onnx 1.23, against onnxruntime's answers of the old models.
"""

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.bodies import graph_of
from qcore.adapters.onnx.graph.constants import array_of
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.operands import integer_attribute, is_standard
from qcore.adapters.onnx.graph.replacement import Replacement
from qcore.errors import QuantError

ANY_GRID = 11
"""The first opset in which a Resize says where the new points lie."""

NO_BATCH = 9
"""The first opset in which the first axis of what a Scan is given is its first one."""

ONE_AXIS = 13
"""The first opset in which a Hardmax is along one axis, not all from there on."""


def before_raising(model: ir.Model, opset: int) -> ir.Model:
    """Return a model of that opset without what the converter takes for something else.

    A Hardmax was along all axes from one on, as if they were a single one.

    Raises
    ------
    QuantError
        If a Scan goes through each element of a batch: no later one does.
    """
    if opset < NO_BATCH:
        for node in model.graph.all_nodes():
            if is_standard(node, "Scan"):
                raise QuantError(
                    f"`model` must be of opset {NO_BATCH} or later for Scan "
                    f"{node.name!r}, which meant batches before; it has opset {opset}. "
                    "Export it anew."
                )
    if opset < ONE_AXIS:
        names = Names(model.graph)
        for node in list(model.graph.all_nodes()):
            if is_standard(node, "Hardmax"):
                _flatten(Replacement(graph_of(node), names, node))
    return model


def after_raising(model: ir.Model, opset: int) -> ir.Model:
    """Return a model that was raised from that opset, with what it meant said.

    A Resize, which an Upsample has become as well, put new points on multiples of the
    step, and took the nearest old one before or, where there are fewer, behind.

    Raises
    ------
    QuantError
        If it did both: no later one does.
    """
    if opset < ANY_GRID:
        for node in model.graph.all_nodes():
            if is_standard(node, "Resize"):
                nearest = _nearest(node)
                _set(node, "coordinate_transformation_mode", "asymmetric")
                _set(node, "nearest_mode", nearest)
    return model


def _flatten(new: Replacement) -> None:
    x, axis = new.node.inputs[0], integer_attribute(new.node, "axis", 1)
    assert x is not None
    shape = new.add("Shape", [x])
    shape.type = ir.TensorType(ir.DataType.INT64)
    flat = new.add("Flatten", [x], {"axis": axis})
    result = new.add("Hardmax", [flat], {"axis": 1})
    main = new.nodes[-1]
    new.finish(new.add("Reshape", [result, shape]), main, "Hardmax")


def _nearest(resize: ir.Node) -> str:
    mode = resize.attributes.get("mode")
    scales = _known(resize.inputs[2]) if len(resize.inputs) > 2 else None
    if scales is None or (mode is not None and mode.as_string() != "nearest"):
        return "floor"
    if (scales < 1).any() and (scales > 1).any():
        raise QuantError(
            f"`model` must be of opset {ANY_GRID} or later where a Resize to the "
            "nearest makes one axis longer and another shorter; it has "
            f"{resize.name or resize.outputs[0].name!r}."
        )
    return "ceil" if (scales < 1).any() else "floor"


def _known(value: ir.Value | None) -> np.ndarray | None:
    maker = None if value is None else value.producer()
    if maker is not None and maker.op_type == "Constant":
        held = maker.attributes.get("value")
        return None if held is None else held.as_tensor().numpy()
    # In IR 3 these are inputs, too, until constants are told from them.
    if value is None or value.const_value is None:
        return None
    return array_of(value)


def _set(node: ir.Node, name: str, text: str) -> None:
    node.attributes.add(ir.AttrString(name, text))
