"""Hold the samples that a model is recovered with."""

from collections.abc import Sequence

from qcore.adapters.onnx.data.feeds import Data, open_feeds
from qcore.adapters.onnx.data.inputs import Input, conform
from qcore.adapters.onnx.data.picking import pick_samples
from qcore.adapters.onnx.recovery.held import Held
from qcore.errors import QuantError


def hold_samples(
    held: Held, data: Data, inputs: Sequence[Input], samples: int | None
) -> None:
    """
    Hold at most so many samples.

    Raises
    ------
    QuantError
        If they do not fit the inputs of the model, or there is none.
    """
    feeds, _ = pick_samples(open_feeds(data, inputs), samples)
    for number, sample in feeds:
        held.add_sample(conform(sample, inputs, f"in sample {number}"), number)
    if not len(held):
        raise QuantError("`data` must hold at least one sample; it has none.")
