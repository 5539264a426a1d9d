"""Read ONNX files, and write them so that nobody ever sees half of one."""

import os
from pathlib import Path
from typing import TypeAlias

import onnx
import onnx_ir as ir

from qcore.adapters.given_path import path_to_write
from qcore.adapters.onnx.argument_kinds import check_flags
from qcore.adapters.onnx.files.blaming import root
from qcore.adapters.onnx.files.external_data import (
    check_external_data,
    external_tensors,
)
from qcore.adapters.onnx.files.protobuf import is_too_large
from qcore.adapters.onnx.files.side_file import save_with_side_file, side_files
from qcore.adapters.onnx.files.wellformed import refuse_malformed
from qcore.errors import QuantError
from qcore.files import written_atomically

PathLike: TypeAlias = str | os.PathLike[str]
Source: TypeAlias = PathLike | onnx.ModelProto


def load(path: PathLike, /) -> onnx.ModelProto:
    """Return the model in a file, with the weights it keeps in other files.

    Parameters
    ----------
    path : path
        An ONNX file.

    Raises
    ------
    QuantError
        If there is no such file, or if it holds no ONNX graph.
    """
    return _parse(Path(path), load_external_data=True)


def save(model: onnx.ModelProto, path: PathLike, /, *, side_file: bool = False) -> None:
    """Write a model to a file, which is either the old or the new one, never a part.

    Parameters
    ----------
    model : ModelProto
        Any model.
    path : path
        Where to write; its folder must exist.
    side_file : bool, optional
        Whether weights lie in a file of their own, whose name begins with that of the
        model, and which is to be kept beside it. From 2 GB on, they always do.

    Raises
    ------
    QuantError
        If the path is a folder or lies in none that exists.
    """
    check_flags(side_file=side_file)
    path = path_to_write(path)
    if side_file or is_too_large(model):
        save_with_side_file(model, path)
        return
    before = side_files(path)
    with written_atomically(path) as file:
        file.write(model.SerializeToString())
    for old in before:
        old.unlink()


def to_proto(model: ir.Model, /) -> onnx.ModelProto:
    """Return a model as a message that holds all of its weights, each read once."""
    message = ir.to_proto(model)
    tensors = (
        value.const_value
        for graph in model.graphs()
        for value in graph.initializers.values()
    )
    folders = {str(t.base_dir) for t in tensors if isinstance(t, ir.ExternalTensor)}
    for folder in folders:
        onnx.load_external_data_for_model(message, folder)
    return message


def to_ir(model: Source, /) -> ir.Model:
    """Return a path's or a proto's model, large weights left on disk until used."""
    if isinstance(model, onnx.ModelProto):
        _refuse_empty(model, "`model`")
        refuse_malformed(model)
        if outside := external_tensors(model):
            raise QuantError(
                "`model` must hold its weights, or be a path; "
                f"{outside[0].name!r} is in another file."
            )
        return _read(model)
    path = Path(model)
    graph_only = _read(_parse(path, load_external_data=False))
    ir.external_data.set_base_dir(graph_only.graph, path.parent)
    return graph_only


def external_files(path: PathLike, /) -> set[Path]:
    """Return the other files that a model's file keeps weights in."""
    model = to_ir(path)
    tensors: list[object] = [
        value.const_value
        for graph in model.graphs()
        for value in graph.initializers.values()
    ]
    for node in model.graph.all_nodes():
        tensors += [attribute.value for attribute in node.attributes.values()]
    return {Path(t.path) for t in tensors if isinstance(t, ir.ExternalTensor)}


def _parse(path: Path, *, load_external_data: bool) -> onnx.ModelProto:
    if not path.is_file():
        raise QuantError(
            f"`model` must be an ONNX file; there is no file {str(path)!r}."
        )
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # each of the formats that onnx reads has its own
        raise QuantError(
            f"`model` must be an ONNX file; {str(path)!r} cannot be read: {error}"
        ) from error
    _refuse_empty(model, repr(str(path)))
    refuse_malformed(model)
    check_external_data(model, path)
    if load_external_data:
        onnx.load_external_data_for_model(model, str(path.parent))
    return model


def _read(model: onnx.ModelProto) -> ir.Model:
    try:
        read: ir.Model = ir.from_proto(model)
    except ir.serde.SerdeError as error:
        raise QuantError(
            f"`model` must be a valid ONNX model; it is not: {root(error)}"
        ) from error
    read.graph.sort()  # as onnxruntime does; what is in order stays as it is
    return read


def _refuse_empty(model: onnx.ModelProto, name: str) -> None:
    # Protobuf reads many a file that is none as a message without fields.
    if not model.graph.node:
        raise QuantError(f"{name} must be an ONNX model; its graph has no nodes.")
