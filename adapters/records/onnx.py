"""What a quantized ONNX model says of its activations.

Those are the tensors that QuantizeLinear gets and that are no constants; their scales
and zero points are constants.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from qcore import PerBlock, PerChannel, QParams
from qcore.adapters.onnx import load
from qcore.adapters.onnx_formats import format_of
from qcore.adapters.records.contents import PathLike, check_file
from qcore.adapters.records.tensors import decided, spec_of
from qcore.errors import FileFormatError
from qcore.granularity import Granularity

TITLE = "quantized ONNX model"

Constants = dict[str, onnx.TensorProto]


def read(path: PathLike, /) -> dict[str, QParams]:
    """
    Return what activations of a QDQ model are quantized by.

    Parameters
    ----------
    path : path
        A model with QuantizeLinear.

    Returns
    -------
    dict
        From names of tensors to `QParams` of numpy, in the order of the graph. Scales
        along an axis have the axes before it and none behind it.

    Raises
    ------
    QuantError
        If the file holds no ONNX model, or a scale cannot be used; it names the tensor.
    OSError
        If the file cannot be read.
    """
    model = load(check_file(path, TITLE))
    found: dict[str, QParams] = {}
    for node, constants in _quantizing(model.graph, {}):
        if node.input[0] in constants or node.input[0] in found:
            continue
        try:
            one = _decided(node, constants)
        except (TypeError, ValueError) as error:  # also what ONNX says of a tensor
            raise FileFormatError(
                f"{path}: the tensor {node.input[0]!r}: {error}"
            ) from error
        if one is not None:
            found[node.input[0]] = one
    if not found:
        raise FileFormatError(
            f"{path} must be a {TITLE}; none of its activations has constant scales."
        )
    return found


def _quantizing(
    graph: onnx.GraphProto, outside: Constants
) -> Iterator[tuple[onnx.NodeProto, Constants]]:
    """Yield QuantizeLinear nodes, in bodies too, and the constants they see."""
    constants = outside | {tensor.name: tensor for tensor in graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in graph.node
        if node.op_type == "Constant" and node.output
        for attribute in node.attribute
        if attribute.name == "value"
    }
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and len(node.input) > 1:
            yield node, constants
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from _quantizing(body, constants)


def _decided(node: onnx.NodeProto, constants: Constants) -> QParams | None:
    """Return what a node quantizes by; None if it is computed, or of another type."""
    if node.input[1] not in constants:
        return None
    scale = _array(constants[node.input[1]], np.float64)
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    number = attributes.get("output_dtype", 0) or onnx.TensorProto.UINT8
    zeros = np.zeros_like(scale)
    if len(node.input) > 2 and node.input[2]:
        if node.input[2] not in constants:
            return None
        given = constants[node.input[2]]
        number = given.data_type
        zeros = _array(given, np.int64)
    fmt = format_of(number)
    if fmt is None:
        return None
    if scale.size == 1:
        scale, zeros = scale.reshape(()), zeros.reshape(())
        return decided(scale, zeros, spec_of(fmt, zeros))
    axis, size = attributes.get("axis", 1), attributes.get("block_size", 0)
    granularity: Granularity = PerBlock(axis, size) if size else PerChannel(axis)
    if not size and 0 <= axis < 64:
        shape = (1,) * axis + (-1,)
        scale, zeros = scale.reshape(shape), zeros.reshape(shape)
    return decided(scale, zeros, spec_of(fmt, zeros, granularity))


def _array(constant: onnx.TensorProto, dtype: type) -> Any:
    """Return the numbers of a constant."""
    return numpy_helper.to_array(constant).astype(dtype)
