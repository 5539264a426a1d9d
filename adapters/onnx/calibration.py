"""Collect the statistics of a model's activations, one sample after the other."""

import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.feeds import Data, open_feeds
from qcore.adapters.onnx.formats import choose_formats
from qcore.adapters.onnx.inputs import Feed, conform, inputs_of, is_text
from qcore.adapters.onnx.model_file import Source
from qcore.adapters.onnx.picking import pick_samples
from qcore.adapters.onnx.planning import plan_prepared, refuse_idle
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.progress import Progress, followed
from qcore.adapters.onnx.recovery.held import Held
from qcore.adapters.onnx.selection import Selection
from qcore.adapters.onnx.stored_operands import multiplied_tensors
from qcore.adapters.onnx.targets import find_target
from qcore.adapters.onnx.tensors import tensors_by_name
from qcore.adapters.onnx.watching import watching
from qcore.errors import NonFiniteError, QuantError, nearest
from qcore.spec import QuantSpec
from qcore.statistics import Histogram, Range, Statistics

Kind: TypeAlias = type[Histogram] | type[Range]


def calibrate(
    model: Source,
    data: Data,
    /,
    *,
    tensors: Collection[str] | None = None,
    target: str = "onnxruntime",
    activation: str | QuantSpec | None = None,
    fake: bool = False,
    op_types: Collection[str] | None = None,
    include: Collection[str] = (),
    exclude: Collection[str] = (),
    keep_existing: bool = False,
    samples: int | None = None,
    statistics: Kind = Histogram,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Statistics]:
    """
    Return what is known of a model's activations, having run it on samples.

    One sample is held at a time, with its activations, and folded into the statistics
    at once: memory does not grow with the number of samples, whose shapes may differ.

    Parameters
    ----------
    model : path or ModelProto
        The float model.
    data : path, iterable or data reader
        Samples. An .npz file holds an array for each input, whose first axis counts
        samples, or keys such as ``input:7``, each an input of one sample. A folder
        holds a file for each sample: an .npz file of arrays by input, or an .npy file.
        An iterable, such as a DataLoader of PyTorch, gives dicts of arrays by input,
        sequences in the order of the inputs (labels may follow), or arrays of the only
        one; ``get_next`` of an onnxruntime CalibrationDataReader gives dicts, until it
        gives ``None``. `ImageFolder` and `TextFile` make arrays of what they read.
    tensors : collection of str, optional
        Which to calibrate; by default those that `quantize` needs.
    target, activation, fake, op_types, include, exclude, keep_existing
        As in `plan`: they tell which tensors those are.
    samples : int, optional
        How many to use at most, all by default. Of a file, a folder or a list they are
        spread evenly, of a stream they are the first. A batch is one sample.
    statistics : type, optional
        What is collected: ``qcore.Histogram`` or ``qcore.Range``.
    progress : callable, optional
        Given the samples and their number (``None`` if unknown), it gives the same
        samples. By default a bar, if stderr is a terminal.
    **options
        For ``statistics.of``, such as ``bins=2048``.

    Returns
    -------
    dict
        Statistics by tensor, in the order of the graph. Inside of If, Loop and Scan
        every run counts; what never ran is left out.

    Raises
    ------
    QuantError
        If the model or the data cannot be read, or do not fit each other.
    NonFiniteError
        If a tensor holds NaN or infinity; it names tensor and sample.
    """
    prepared = prepare(model, keep_existing=keep_existing)
    if tensors is None:
        rules = find_target(target)
        rules = choose_formats(rules, activation=activation, fake=fake).target
        plan = plan_prepared(prepared, rules, Selection(op_types, include, exclude))
        refuse_idle(plan, rules)
        tensors = plan.sources or multiplied_tensors(prepared.graph, plan)
    return calibrate_prepared(
        prepared,
        data,
        tensors,
        samples=samples,
        statistics=statistics,
        progress=progress,
        options=options,
    )


def calibrate_prepared(
    model: ir.Model,
    data: Data | Held,
    tensors: Collection[str],
    *,
    samples: int | None = None,
    statistics: Kind = Histogram,
    progress: Progress | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    as_rows: bool = False,
) -> dict[str, Statistics]:
    """Return statistics by tensor, of a model that `prepare` gave.

    If `as_rows`, those of tensors as rows along their last axis: their rank may differ
    between samples.
    """
    inputs = inputs_of(model.graph)
    watched = _find(model.graph, tensors)
    feeds, total = (
        (data.numbered(), len(data))
        if isinstance(data, Held)
        else pick_samples(open_feeds(data, inputs), samples)
    )
    states: dict[str, Any] = {}
    number = None

    def fold(found: tuple[str, np.ndarray]) -> tuple[str, Any]:
        name, values = found
        if as_rows:
            values = values.reshape(-1, *values.shape[-1:])
        state = states.get(name)
        new = (
            statistics.of(values, **options) if state is None else state.update(values)
        )
        return name, new

    # What counts lets other threads run, as onnxruntime does with its own.
    pool = ThreadPoolExecutor(os.cpu_count())
    with watching(model, watched) as watch, pool:
        for number, sample in followed(progress, feeds, total):
            place = f"in sample {number}"
            feed = conform(sample, inputs, place)
            for name, state in pool.map(fold, watch(feed, place).items()):
                _check_finite(state, name, place, feed)
                states[name] = state
    if number is None:
        raise QuantError("`data` must hold at least one sample; it has none.")
    return states


def _find(graph: ir.Graph, names: Collection[str]) -> list[ir.Value]:
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
