"""Collect the statistics of a model's activations, one sample after the other."""

from collections.abc import Collection, Mapping
from concurrent.futures import Executor
from types import MappingProxyType
from typing import Any

import onnx_ir as ir

from qcore.adapters.onnx.data.feeds import Data, open_feeds
from qcore.adapters.onnx.data.inputs import inputs_of
from qcore.adapters.onnx.data.picking import WHOLE, Shard, check_shard, pick_samples
from qcore.adapters.onnx.data.progress import Progress, followed
from qcore.adapters.onnx.files.model_file import PathLike, Source
from qcore.adapters.onnx.folding import Kind, States, find_tensors, fold
from qcore.adapters.onnx.formats import choose_formats
from qcore.adapters.onnx.graph.stored_operands import multiplied_tensors
from qcore.adapters.onnx.planning.planning import plan_prepared, refuse_idle
from qcore.adapters.onnx.planning.selection import Selection
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.recovery.held import Held
from qcore.adapters.onnx.sharding.alone import fold_alone
from qcore.adapters.onnx.sharding.run import Part, Run, shards_of
from qcore.adapters.onnx.sharding.spread import spread
from qcore.adapters.onnx.targets import find_target
from qcore.errors import QuantError
from qcore.shards import Shards
from qcore.spec import QuantSpec
from qcore.statistics import Histogram


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
    executor: Executor | None = None,
    shards: int | None = None,
    checkpoint: PathLike | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> States:
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
    executor : concurrent.futures.Executor, optional
        Whose workers share the samples: a pool of processes, ``client.get_executor()``
        of Dask, an MPIPoolExecutor. The statistics are those of one process, bit for
        bit, if the workers compute alike. They open paths of models and data by
        themselves; samples of a list are sent to them, a stream cannot be shared.
    shards : int, optional
        In how many parts, each of which opens the model anew; by default as many as
        this machine has cores.
    checkpoint : path, optional
        A folder for what is done, from which the same call goes on if it was stopped.
        It stays until it is removed.
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
        If the model or the data cannot be read, or do not fit each other, or a
        checkpoint is that of another call.
    ShardError
        If a worker was lost; it names its part of the samples, none of which count.
    NonFiniteError
        If a tensor holds NaN or infinity; it names tensor and sample.
    """
    run = _open(
        model,
        data,
        WHOLE,
        tensors=tensors,
        target=target,
        activation=activation,
        fake=fake,
        op_types=op_types,
        include=include,
        exclude=exclude,
        keep_existing=keep_existing,
        samples=samples,
        statistics=statistics,
        **options,
    )
    if executor is not None:
        return spread(run, executor, shards, checkpoint, progress)
    if shards is not None:
        raise QuantError("`shards` must come with an `executor` to do them.")
    return fold_alone(run, checkpoint, progress)


def calibrate_shard(
    model: Source,
    data: Data,
    shard: Shard,
    /,
    *,
    checkpoint: PathLike | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> tuple[States, Shards]:
    """
    Return the statistics of one part of the samples, and which part of what it is.

    ``qcore.save(path, statistics, shards=shards)`` on each machine, and
    ``qcore.merge_files(paths)`` on one, give what one process would: none is merged
    twice, none is left out.

    Parameters
    ----------
    model, data, checkpoint, progress
        As in `calibrate`; the data is the same on all machines, and no stream.
    shard : (int, int)
        Which part, from 1, and how many there are.
    **options
        All others of `calibrate`.

    Returns
    -------
    statistics : dict
        By tensor; empty if there are fewer samples than parts and none is left.
    shards : Shards
        To be saved with them.

    Raises
    ------
    QuantError, NonFiniteError
        As in `calibrate`.
    """
    run = _open(model, data, check_shard(shard), **options)
    return fold_alone(run, checkpoint, progress), shards_of(run)


def _open(
    model: Source,
    data: Data,
    shard: Shard,
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
    **options: Any,
) -> Run:
    """Return a calibration that can begin."""
    prepared = prepare(model, keep_existing=keep_existing)
    if tensors is None:
        rules = find_target(target)
        rules = choose_formats(rules, activation=activation, fake=fake).target
        plan = plan_prepared(prepared, rules, Selection(op_types, include, exclude))
        refuse_idle(plan, rules)
        tensors = plan.sources or multiplied_tensors(prepared.graph, plan)
    feeds = open_feeds(data, inputs_of(prepared.graph))
    names = tuple(tensors)
    part = Part(model, keep_existing, feeds, samples, shard, names, statistics, options)
    return Run(part, prepared)


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
) -> States:
    """Return statistics by tensor, of a model that `prepare` gave.

    If `as_rows`, those of tensors as rows along their last axis: their rank may differ
    between samples.
    """
    watched = find_tensors(model.graph, tensors)
    feeds, total = (
        (data.numbered(), len(data))
        if isinstance(data, Held)
        else pick_samples(open_feeds(data, inputs_of(model.graph)), samples)
    )
    followed_feeds = followed(progress, feeds, total)
    return fold(model, followed_feeds, watched, statistics, options, as_rows=as_rows)
