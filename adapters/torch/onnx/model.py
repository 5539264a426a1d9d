"""Models of ONNX: what exporters return, finished, verified and saved."""

import io
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import torch

from qcore.adapters.onnx.files.model_file import save as save_proto
from qcore.adapters.torch.onnx.weights import store_codes
from qcore.adapters.torch.onnx.zero_points import separate_zero_points
from qcore.errors import QuantError

_IR_VERSIONS = {23: 11, 24: 12}
"""Of opsets with types that earlier versions of the file format lack."""

_LEAST_SQNR = 30.0
"""In dB. Sums in another order move single codes, which is far below."""


def exported(model: Any, args: tuple[Any, ...], **options: Any) -> ir.Model:
    """Return what ``torch.onnx.export`` makes of a model."""
    if options.get("dynamo", True):
        program = torch.onnx.export(model, args, verbose=False, **options)
        assert program is not None
        return program.model
    written = io.BytesIO()
    torch.onnx.export(model, args, written, **options)  # type: ignore[arg-type]
    return ir.from_proto(onnx.load_model_from_string(written.getvalue()))


def finished(model: ir.Model, *, weights: str) -> ir.Model:
    """Return a model with weights as asked for, checked."""
    if weights == "codes":
        store_codes(model)
    separate_zero_points(model)
    opset = model.opset_imports[""]
    model.ir_version = max(model.ir_version, _IR_VERSIONS.get(opset, 0))
    if not _is_large(model):
        onnx.checker.check_model(ir.to_proto(model), full_check=True)
    return model


def verify(
    model: ir.Model,
    expected: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> None:
    """Raise QuantError if ONNX Runtime's outputs are not those of PyTorch."""
    session = _session(model)
    tensors = [x for x in _leaves((args, dict(kwargs))) if isinstance(x, torch.Tensor)]
    names = [taken.name for taken in session.get_inputs()]
    feeds = {
        name: x.detach().cpu().numpy() for name, x in zip(names, tensors, strict=True)
    }
    outputs = session.run(None, feeds)
    for taken, got, wanted in zip(
        session.get_outputs(), outputs, _leaves(expected), strict=True
    ):
        signal = np.asarray(wanted.detach().cpu().double())
        noise = np.square(got - signal).sum()
        if not noise <= np.square(signal).sum() * 10 ** (-_LEAST_SQNR / 10):
            raise QuantError(
                f"the output {taken.name!r} of ONNX Runtime must be that of PyTorch; "
                f"they differ by up to {np.abs(got - signal).max():.3g}."
            )


def _session(model: ir.Model) -> onnxruntime.InferenceSession:
    """Return what computes the nodes as they are written, not what it makes of them."""
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        save(model, path)
        try:
            return onnxruntime.InferenceSession(
                path, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # it has many kinds, none of which is public
            raise QuantError(
                "`verify` must be false for a model that ONNX Runtime cannot run on "
                f"the CPU: {error}"
            ) from error


def save(model: ir.Model, path: Path) -> None:
    """Write a model to a file, its weights to a second one if one is too small."""
    if not _is_large(model):
        save_proto(ir.to_proto(model), path)
        return
    data = f"{path.name}.data"
    scratch = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        ir.save(model, scratch / path.name, external_data=data)
        (scratch / data).replace(path.parent / data)
        (scratch / path.name).replace(path)
    finally:
        shutil.rmtree(scratch)


def _is_large(model: ir.Model) -> bool:
    """Return whether a model does not fit into one file."""
    held = (value.const_value for value in model.graph.initializers.values())
    weights = sum(tensor.nbytes for tensor in held if tensor is not None)
    return weights > onnx.checker.MAXIMUM_PROTOBUF * 0.9  # the rest is the graph


def _leaves(tree: Any) -> list[Any]:
    leaves: list[Any] = torch.utils._pytree.tree_leaves(tree)
    return leaves
