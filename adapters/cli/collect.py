"""Collect statistics as the arguments of a command say."""

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qcore.adapters import onnx
from qcore.adapters.cli.arguments import selected
from qcore.adapters.cli.samples import samples, told
from qcore.adapters.onnx.progress import sample_bar
from qcore.statistics import Statistics


@dataclass(frozen=True)
class Collected:
    """Statistics of a model's activations by tensor, and of what samples they are."""

    statistics: dict[str, Statistics]
    told: str


def collect(arguments: Namespace) -> Collected:
    """Return the statistics of the model's activations."""
    options: dict[str, Any] = selected(arguments)
    if arguments.bins:
        options["bins"] = arguments.bins
    used = 0

    def progress(given: Iterable[Any], total: int | None) -> Iterable[Any]:
        nonlocal used
        for sample in given if arguments.quiet else sample_bar(given, total):
            used += 1
            yield sample

    statistics = onnx.calibrate(
        arguments.model,
        samples(arguments),
        samples=arguments.samples,
        progress=progress,
        **options,
    )
    return Collected(statistics, told(arguments, used))
