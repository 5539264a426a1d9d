"""A digest of all that recovery depends on."""

from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.recovery.held import Held

PACKAGES = ("qcore-quant", "onnxruntime", "numpy")
"""Other versions of these may compute other bits."""


def origin(*models: ir.Model, held: Held, options: object) -> str:
    """
    Return a digest of models, samples, options and versions.

    Parameters
    ----------
    *models : Model
        The quantized one, and what it was made of.
    held : Held
        All samples.
    options : object
        What else changes the result, told apart by its `repr`.
    """
    digest = sha256()
    for part in _parts(models, held, options):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def _parts(
    models: tuple[ir.Model, ...], held: Held, options: object
) -> Iterator[bytes]:
    yield repr((options, *map(version, PACKAGES))).encode()
    for model in models:
        yield from _of_model(model)
    for sample in held:
        yield repr([*sample]).encode()
        for array in sample.values():
            yield repr((array.dtype.str, array.shape)).encode()
            yield _content(array)


def _of_model(model: ir.Model) -> Iterator[bytes]:
    yield repr((model.ir_version, sorted(model.opset_imports.items()))).encode()
    # Piece by piece: a message of a whole model may be larger than protobuf allows.
    for name, value in model.graph.initializers.items():
        assert value.const_value is not None
        yield f"{name} {value.dtype} {value.shape}".encode()
        yield _content(value.const_value.numpy())
    for node in (*model.graph, *model.functions.values()):
        yield ir.to_proto(node).SerializeToString(deterministic=True)


def _content(array: np.ndarray) -> bytes:
    return repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
