"""Calibrate in this process, from where a call before has come."""

from collections.abc import Iterator
from itertools import chain, islice

from qcore.adapters.onnx.data.picking import Numbered
from qcore.adapters.onnx.data.progress import Progress, followed
from qcore.adapters.onnx.files.model_file import PathLike
from qcore.adapters.onnx.folding import States
from qcore.adapters.onnx.sharding.checkpoint import FoldedSamples, calibration_folder
from qcore.adapters.onnx.sharding.run import Run


def fold_alone(
    run: Run, checkpoint: PathLike | None, progress: Progress | None
) -> States:
    """
    Return statistics by tensor of the samples of a part.

    Parameters
    ----------
    run : Run
        What is to be done.
    checkpoint : path, optional
        Where it is kept how far this has come.
    progress : callable, optional
        Follows the samples, those that are done at once.

    Raises
    ------
    QuantError
        If the checkpoint is of other samples, or anything else.
    """
    folder = calibration_folder(checkpoint)
    if folder is None:
        samples, total = run.part.samples()
        return run.fold(followed(progress, samples, total))
    kept = FoldedSamples(folder, run)
    # The last one again: it shows whether these are the same samples.
    samples, total = run.part.samples(start=max(kept.done - 1, 0))
    left = iter(samples)
    if kept.done:
        kept.check(next(left, None))
        total = None if total is None else total - 1 + kept.done
    before: Iterator[Numbered] = ((number, {}) for number in range(kept.done))
    seen = followed(progress, chain(before, left), total)
    return run.fold(islice(seen, kept.done, None), kept.states, kept.folded)
