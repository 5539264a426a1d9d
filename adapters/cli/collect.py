"""Collect statistics as the arguments of a command say."""

from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from qcore.adapters import onnx
from qcore.adapters.cli.arguments import selected
from qcore.adapters.cli.reader import read
from qcore.statistics import Statistics


def collect(arguments: Namespace) -> dict[str, Statistics]:
    """Return the statistics of the model's activations, by tensor."""
    options: dict[str, Any] = selected(arguments)
    if arguments.bins:
        options["bins"] = arguments.bins
    if arguments.quiet:
        options["progress"] = _silent
    return onnx.calibrate(arguments.model, samples(arguments), **options)


def samples(arguments: Namespace) -> Any:
    """Return the samples, or where they are."""
    return read(arguments.reader) if arguments.reader else arguments.data


def _silent(samples: Iterable[Any], total: int | None) -> Iterable[Any]:
    del total
    return samples
