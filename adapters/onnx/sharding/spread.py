"""Calibrate with the workers of an executor, each on a part of the samples."""

import os
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed, wait

from qcore.adapters.onnx.argument_kinds import is_whole
from qcore.adapters.onnx.data.picking import Numbered
from qcore.adapters.onnx.data.progress import Progress, followed
from qcore.adapters.onnx.files.model_file import PathLike
from qcore.adapters.onnx.folding import States
from qcore.adapters.onnx.sharding.checkpoint import FinishedShards, calibration_folder
from qcore.adapters.onnx.sharding.run import Part, Run, fold_part, split, to_send
from qcore.errors import QuantError, ShardError
from qcore.shards import named


def spread(
    run: Run,
    executor: Executor,
    shards: int | None,
    checkpoint: PathLike | None,
    progress: Progress | None,
) -> States:
    """
    Return statistics by tensor of all samples.

    Parameters
    ----------
    run : Run
        All that is to be done.
    executor : Executor
        Who does it.
    shards : int, optional
        In how many parts.
    checkpoint : path, optional
        Where finished parts are kept.
    progress : callable, optional
        Told of samples as their parts are finished.

    Raises
    ------
    TypeError, QuantError
        If the executor is none, the number is no positive one or the data a stream.
    ShardError
        If a part was not finished, though nothing is wrong with its samples.
    """
    if not isinstance(executor, Executor):
        raise TypeError(
            "`executor` must be a concurrent.futures.Executor; got "
            f"{type(executor).__name__}."
        )
    if shards is not None and not (is_whole(shards) and shards > 0):
        raise QuantError(f"`shards` must be a whole number above 0; got {shards!r}.")
    folder = calibration_folder(checkpoint)
    of = shards or os.cpu_count() or 1
    total = len(run.part.numbers())
    if total == 0:
        raise QuantError("`data` must hold at least one sample; it has none.")
    parts = split(run.part, min(of, total))
    kept = FinishedShards(folder, run) if folder else None
    merged: States = {}

    def finished() -> Iterator[Numbered]:
        for part, states in _finished(parts, executor, kept):
            for name, state in states.items():
                merged[name] = merged[name].merge(state) if name in merged else state
            yield from ((number, {}) for number in part.numbers())

    for _ in followed(progress, finished(), total):
        pass
    names = (str(value.name) for value in run.watched)
    return {name: merged[name] for name in names if name in merged}


def _finished(
    parts: list[Part], executor: Executor, kept: FinishedShards | None
) -> Iterator[tuple[Part, States]]:
    """Yield each part once, those that were finished before first."""
    futures: dict[Future[States], Part] = {}
    try:
        for part in parts:
            states = kept.get(part) if kept else None
            if states is None:
                futures[_submitted(executor, part)] = part
            else:
                yield part, states
        for future in as_completed(list(futures)):
            states = _result(future, futures)
            part = futures.pop(future)
            if kept:
                kept.put(part, states)
            yield part, states
    finally:
        for future in futures:
            future.cancel()


def _submitted(executor: Executor, part: Part) -> "Future[States]":
    """Return what a worker will find; a broken pool says so in the same place."""
    try:
        return executor.submit(fold_part, to_send(part))
    except BrokenExecutor as error:
        lost: Future[States] = Future()
        lost.set_exception(error)
        return lost


def _result(future: "Future[States]", futures: "dict[Future[States], Part]") -> States:
    """Return what a worker found, or say which parts are lost."""
    try:
        return future.result()
    except QuantError:  # says in which sample
        raise
    except BrokenExecutor as error:
        # A pool that breaks loses all that it has not finished.
        wait(futures)
        lost = [p for f, p in futures.items() if f.cancelled() or f.exception()]
        raise _lost(lost, error) from error
    except Exception as error:
        raise _lost([futures[future]], error) from error


def _lost(parts: list[Part], error: Exception) -> ShardError:
    numbers = sorted(part.shard[0] for part in parts)
    what = named(numbers, parts[0].shard[1])
    return ShardError(
        f"{what} must be finished by a worker; lost by {type(error).__name__}: {error}"
    )
