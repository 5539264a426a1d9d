"""Run a model and hand out tensors from its inside."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from qcore.adapters.onnx.inputs import Feed
from qcore.adapters.onnx.sessions import open_session
from qcore.adapters.onnx.side_file import LEAST_BYTES
from qcore.errors import QuantError

Watch: TypeAlias = Callable[[Feed, str], dict[str, np.ndarray]]
"""Given a sample and where it is from, returns the watched tensors by name."""


@contextmanager
def watching(
    model: ir.Model, tensors: Sequence[ir.Value], *, as_written: bool = False
) -> Iterator[Watch]:
    """Give a function that runs the model and returns the tensors, in their order.

    If `as_written`, onnxruntime merges no operators and computes on no codes.

    The session has no other outputs, so that nothing is computed in vain. Weights lie
    in a file of their own: a model of any size is run in the same way, and is not held
    in memory twice.
    """
    watched = {str(value.name): value for value in tensors}
    fetched = [name for name, v in watched.items() if not v.is_graph_input()]
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        with _outputs(model.graph, [watched[name] for name in fetched]):
            ir.save(
                model, path, external_data="weights", size_threshold_bytes=LEAST_BYTES
            )
        session = _session(path, as_written) if fetched else None

        def watch(feed: Feed, place: str) -> dict[str, np.ndarray]:
            try:
                found = session.run(fetched, feed) if session else []
            except Exception as error:  # bound C++: its errors have no common base
                raise QuantError(f"onnxruntime fails {place}: {error}") from error
            results = dict(zip(fetched, found, strict=True))
            return {
                name: feed[name] if name in feed else results[name] for name in watched
            }

        yield watch


@contextmanager
def _outputs(graph: ir.Graph, values: Sequence[ir.Value]) -> Iterator[None]:
    own = list(graph.outputs)
    graph.outputs[:] = values
    try:
        yield
    finally:
        graph.outputs[:] = own


def _session(path: Path, as_written: bool) -> ort.InferenceSession:
    try:
        return open_session(path, as_written=as_written)
    except Exception as error:  # bound C++: its errors have no common base
        said = str(error).replace(f"{path.parent}{os.sep}", "")
        raise QuantError(
            f"`model` must load in onnxruntime, which says: {said}"
        ) from error
