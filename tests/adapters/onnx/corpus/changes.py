"""What is done to models that their text form cannot say."""

from collections.abc import Callable

import onnx
from onnx import helper, numpy_helper


def inputs_too(model: onnx.ModelProto) -> None:
    """Name initializers among the inputs, as IR version 3 wants."""
    model.graph.input.extend(
        helper.make_tensor_value_info(t.name, t.data_type, t.dims)
        for t in model.graph.initializer
    )


def nameless(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        node.name = ""


def slashes(model: onnx.ModelProto) -> None:
    """Spell names as exporters do, and in letters of all kinds."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name in ("c", "r", "w"):
                    names[i] = f"/модель/layer.{name}:0"
    for tensor in model.graph.initializer:
        if tensor.name == "w":
            tensor.name = "/модель/layer.w:0"


def constant_nodes(model: onnx.ModelProto) -> None:
    """Hold initializers in nodes."""
    for tensor in model.graph.initializer:
        node = helper.make_node("Constant", [], [tensor.name], value=tensor)
        model.graph.node.insert(0, node)
    model.graph.ClearField("initializer")


def no_shapes(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.ClearField("shape")


def raw_fields(model: onnx.ModelProto) -> None:
    """Keep weights in typed fields, not as raw bytes."""
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        tensor.ClearField("raw_data")
        tensor.float_data.extend(array.ravel().tolist())


def half(kind: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            values = array.ravel().tolist()
            tensor.CopyFrom(helper.make_tensor(tensor.name, kind, array.shape, values))
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = kind

    return change
