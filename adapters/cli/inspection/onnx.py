"""Describe an ONNX model: what it takes and gives, what is int8 or would be."""

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from onnx import ModelProto, TypeProto, ValueInfoProto
from onnx.helper import tensor_dtype_to_np_dtype

from qcore.adapters.cli.inspection.codes import computing_on_codes, is_quantized
from qcore.adapters.cli.listed import listed
from qcore.adapters.cli.units import size
from qcore.adapters.onnx import load, plan


def describe(path: Path, arguments: Namespace) -> Iterator[str]:
    """Yield opset, inputs, outputs, then what is or would be quantized."""
    model = load(path)
    opsets = (f"{o.domain or 'opset'} {o.version}" for o in model.opset_import)
    yield f"{path}: ONNX, {', '.join(opsets)}; {size(path.stat().st_size)}."
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    yield from (f"input {value.name}: {_type(value)}" for value in inputs)
    yield from (f"output {value.name}: {_type(value)}" for value in model.graph.output)
    yield ""
    yield from (
        _present(model) if is_quantized(model) else _future(path, arguments.target)
    )


def _type(value: ValueInfoProto) -> str:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        return str(kind).removesuffix("_type")
    tensor: TypeProto.Tensor = value.type.tensor_type
    name = tensor_dtype_to_np_dtype(tensor.elem_type).name
    if not tensor.HasField("shape"):
        return f"{name} of any shape"
    extents = (
        str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?"
        for d in tensor.shape.dim
    )
    return f"{name} [{', '.join(extents)}]"


def _present(model: ModelProto) -> Iterator[str]:
    """Yield what computes on codes, and what could but does not."""
    on_codes, in_float = computing_on_codes(model.graph)
    yield from listed("quantized already: these compute on codes", on_codes)
    yield from in_float


def _future(path: Path, target: str) -> Iterator[str]:
    """Yield what `qcore quantize` would do."""
    planned = plan(path, target=target)
    yield from listed("would compute in int8", planned.compute)
    yield from listed("would pass codes on", planned.carriers)
    yield from map(str, planned.kept_float)
    yield "All other operators stay float."
