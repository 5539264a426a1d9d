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

from qcore.adapters.onnx.data.inputs import Feed
from qcore.adapters.onnx.files.side_file import LEAST_BYTES
from qcore.adapters.onnx.graph.tensors import tensors
from qcore.adapters.onnx.running.float32_twin import float32_twin
from qcore.adapters.onnx.running.sessions import open_session
from qcore.adapters.onnx.running.taping import with_tapes
from qcore.errors import QuantError
from qcore.files import naming

Watch: TypeAlias = Callable[[Feed, str], dict[str, np.ndarray]]
"""Given a sample and where it is from, returns the watched tensors by name."""


@contextmanager
def watching(
    model: ir.Model, values: Sequence[ir.Value], *, as_written: bool = False
) -> Iterator[Watch]:
    """Give a function that runs the model and returns the tensors, in their order.

    If `as_written`, onnxruntime merges no operators and computes on no codes.

    Of those in bodies of If, Loop and Scan it returns the values of all runs, flat, and
    leaves out what never ran.

    The session has no other outputs, so that nothing is computed in vain. Weights lie
    in a file of their own: a model of any size is run in the same way, and is not held
    in memory twice.
    """
    watched = [str(value.name) for value in values]
    inside = [str(v.name) for v in values if v.graph is not model.graph]
    tapes: dict[str, str] = {}
    if inside:
        model, tapes = with_tapes(model, inside)
    fetched = {name: tapes.get(name, name) for name in watched}
    for value in model.graph.inputs:
        fetched.pop(str(value.name), None)
    with TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        twin = float32_twin(model)
        with naming(path), _outputs(twin.graph, list(fetched.values())):
            ir.save(
                twin, path, external_data="weights", size_threshold_bytes=LEAST_BYTES
            )
        session = _session(path, as_written) if fetched else None

        def watch(feed: Feed, place: str) -> dict[str, np.ndarray]:
            try:
                found = session.run(list(fetched.values()), feed) if session else []
            except Exception as error:  # bound C++: its errors have no common base
                raise QuantError(f"onnxruntime fails {place}: {error}") from error
            results = dict(zip(fetched, found, strict=True))
            results |= {name: feed[name] for name in watched if name not in fetched}
            never = {name for name in tapes if results[name].size == 0}
            return {name: results[name] for name in watched if name not in never}

        yield watch


@contextmanager
def _outputs(graph: ir.Graph, names: Sequence[str]) -> Iterator[None]:
    own, known = list(graph.outputs), {value.name: value for value in tensors(graph)}
    graph.outputs[:] = [known[name] for name in names]
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
