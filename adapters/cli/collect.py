"""Collect statistics as the arguments of a command say."""

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qcore.adapters import onnx
from qcore.adapters.cli.arguments import selected
from qcore.adapters.cli.samples import samples
from qcore.adapters.onnx.data.progress import sample_bar
from qcore.shards import Shards
from qcore.statistics import Statistics


class Counted:
    """Follows samples, silently or with a bar, and knows how many they were."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.used = 0

    def __call__(self, given: Iterable[Any], total: int | None) -> Iterable[Any]:
        """Yield the samples."""
        self.used = 0
        for sample in given if self.quiet else sample_bar(given, total):
            self.used += 1
            yield sample


def collect(
    arguments: Namespace, counted: Counted, checkpoint: Path | None = None
) -> dict[str, Statistics]:
    """Return the statistics of the model's activations."""
    return onnx.calibrate(
        arguments.model,
        samples(arguments),
        checkpoint=checkpoint,
        **_options(arguments, counted),
    )


def collect_shard(
    arguments: Namespace, counted: Counted
) -> tuple[dict[str, Statistics], Shards]:
    """Return the statistics of one part of the samples, and which part it is."""
    return onnx.calibrate_shard(
        arguments.model,
        samples(arguments),
        arguments.shard,
        checkpoint=arguments.checkpoint,
        **_options(arguments, counted),
    )


def _options(arguments: Namespace, counted: Counted) -> dict[str, Any]:
    options = selected(arguments)
    if arguments.bins:
        options["bins"] = arguments.bins
    return {"samples": arguments.samples, "progress": counted, **options}
