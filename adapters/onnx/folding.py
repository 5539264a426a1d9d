"""Run a model on samples, one after the other, and fold what its tensors are."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.data.inputs import Feed, conform, inputs_of, is_text
from qcore.adapters.onnx.data.picking import Numbered
from qcore.adapters.onnx.graph.tensors import tensors_by_name
from qcore.adapters.onnx.running.watching import watching
from qcore.errors import NonFiniteError, QuantError, nearest
from qcore.statistics import Histogram, Range, Statistics

Kind: TypeAlias = type[Histogram] | type[Range]
States: TypeAlias = dict[str, Statistics]

Folded: TypeAlias = Callable[[Mapping[str, Statistics], Feed], None]
"""Told of the statistics each time that one more sample is in them."""


def fold(
    model: ir.Model,
    samples: Iterable[Numbered],
    watched: Sequence[ir.Value],
    kind: Kind,
    options: Mapping[str, Any],
    *,
    as_rows: bool = False,
    states: Mapping[str, Statistics] | None = None,
    folded: Folded | None = None,
) -> States:
    """
    Return statistics by tensor, in the order of those that are watched.

    Parameters
    ----------
    model : Model
        That `prepare` gave.
    samples : iterable
        Samples, numbered for errors.
    watched : sequence of Value
        Tensors of the model.
    kind, options
        What is collected, and how.
    as_rows : bool, optional
        Whether tensors are taken as rows along their last axis: their rank may differ
        between samples.
    states : mapping, optional
        Statistics of samples before, if there may be no further ones.
    folded : callable, optional
        Told after each sample.

    Raises
    ------
    QuantError
        If the model cannot be run, a sample does not fit it, or there is none.
    NonFiniteError
        If a tensor holds NaN or infinity; it names tensor and sample.
    """
    known: dict[str, Any] = dict(states or {})

    def add(found: tuple[str, np.ndarray]) -> tuple[str, Any]:
        name, values = found
        if as_rows:
            values = values.reshape(-1, *values.shape[-1:])
        state = known.get(name)
        new = kind.of(values, **options) if state is None else state.update(values)
        return name, new

    # What counts lets other threads run, as onnxruntime does with its own.
    inputs, number = inputs_of(model.graph), None
    pool = ThreadPoolExecutor(os.cpu_count())
    with watching(model, watched) as watch, pool:
        for number, sample in samples:
            place = f"in sample {number}"
            feed = conform(sample, inputs, place)
            for name, state in pool.map(add, watch(feed, place).items()):
                _check_finite(state, name, place, feed)
                known[name] = state
            if folded is not None:
                folded(known, feed)
    if number is None and states is None:
        raise QuantError("`data` must hold at least one sample; it has none.")
    names = (str(value.name) for value in watched)
    return {name: known[name] for name in names if name in known}


def find_tensors(graph: ir.Graph, names: Collection[str]) -> list[ir.Value]:
    """
    Return tensors to calibrate, in the order of the graph.

    Raises
    ------
    QuantError
        If there is no such tensor, or it is not of floats.
    """
    known = tensors_by_name(graph)
    for name in names:
        if name not in known:
            hint = nearest(name, known)
            raise QuantError(f"the model has no tensor {name!r} to calibrate; {hint}")
        dtype = known[name].dtype
        if dtype is not None and not dtype.is_floating_point():
            raise QuantError(f"{name!r} must be floating-point; it is {dtype}.")
    wanted = set(names)
    return [value for name, value in known.items() if name in wanted]


def _check_finite(state: Statistics, name: str, place: str, feed: Feed) -> None:
    """Raise while the sample is still known; the earlier ones have passed."""
    if state.nonfinite.any():
        what = "NaN" if state.nans.any() else "infinity"
        numbers = {key: x for key, x in feed.items() if not is_text(x.dtype)}
        bad = [key for key, x in numbers.items() if not np.isfinite(x).all()]
        origin = f"its input {bad[0]!r} does too" if bad else "its inputs are finite"
        raise NonFiniteError(f"{name!r} holds {what} {place}; {origin}.")
