"""Digests that tell models and samples apart, on any machine."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib.metadata import version

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.data.inputs import Feed

PACKAGES = ("qcore-quant", "onnxruntime", "numpy")
"""Other versions of these may compute other bits."""


def digest(parts: Iterable[bytes]) -> str:
    """Return a digest of parts and of where each of them ends."""
    whole = sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little") + part)
    return whole.hexdigest()


def of_versions() -> bytes:
    """Return what computes."""
    return repr([*map(version, PACKAGES)]).encode()


def of_model(model: ir.Model) -> Iterator[bytes]:
    """Yield the parts of a model that its results depend on."""
    yield repr((model.ir_version, sorted(model.opset_imports.items()))).encode()
    # Piece by piece: a message of a whole model may be larger than protobuf allows.
    for name, value in model.graph.initializers.items():
        assert value.const_value is not None
        yield f"{name} {value.dtype} {value.shape}".encode()
        yield _content(value.const_value.numpy())
    for node in (*model.graph, *model.functions.values()):
        yield ir.to_proto(node).SerializeToString(deterministic=True)


def of_feed(feed: Feed) -> Iterator[bytes]:
    """Yield the parts of a sample."""
    yield repr([*feed]).encode()
    for array in feed.values():
        yield repr((array.dtype.str, array.shape)).encode()
        yield _content(array)


def _content(array: np.ndarray) -> bytes:
    return repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
