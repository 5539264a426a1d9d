"""What a model takes and gives, and what in it is in codes or would be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import (
    LiftConstantsToInitializersPass,
    RemoveInitializersFromInputsPass,
)

from qcore.adapters.onnx.files.model_file import Source, to_ir
from qcore.adapters.onnx.inspection.codes import is_quantized
from qcore.adapters.onnx.inspection.future import Future, future
from qcore.adapters.onnx.inspection.grids import type_name
from qcore.adapters.onnx.inspection.present import Present, present
from qcore.adapters.onnx.targets import find_target


@dataclass(frozen=True)
class Description:
    """What `inspect` found.

    Attributes
    ----------
    opsets : mapping
        Versions of the operators by domain; that of ONNX itself is ``opset``.
    inputs, outputs : mapping
        Their types by name.
    is_quantized : bool
        Whether anything is in codes.
    contents : Present or Future
        What is in codes, or would be.
    """

    opsets: Mapping[str, int]
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    is_quantized: bool
    contents: Present | Future


def inspect(model: Source, /, *, target: str = "onnxruntime") -> Description:
    """
    Return what of a model is in codes and what these stand for, or what would be.

    Parameters
    ----------
    model : path or ModelProto
        Of a quantized model: scales, zero points, sizes, and what is float and why. Of
        a float model: what `quantize` would do, as `plan` tells.
    target : str, optional
        The runtime, as of `plan`.

    Raises
    ------
    QuantError
        If the model cannot be read or the target is not known.
    """
    rules = find_target(target)
    given: ir.Model = RemoveInitializersFromInputsPass()(to_ir(model)).model
    graph = given.graph
    ends = _types(graph.inputs), _types(graph.outputs)
    opsets = {name or "opset": version for name, version in given.opset_imports.items()}
    if not is_quantized(graph):
        return Description(opsets, *ends, False, future(model, target))
    lift = LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
    return Description(opsets, *ends, True, present(lift(given).model, rules))


def _types(values: Iterable[ir.Value]) -> dict[str, str]:
    return {str(value.name): _type(value) for value in values}


def _type(value: ir.Value) -> str:
    if not isinstance(value.type, ir.TensorType):
        return type(value.type).__name__.removesuffix("Type").lower()
    name = type_name(value.dtype)
    if value.shape is None:
        return f"{name} of any shape"
    extents = (str(n) if isinstance(n, int) else n.value or "?" for n in value.shape)
    return f"{name} [{', '.join(extents)}]"
