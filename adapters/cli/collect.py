"""Collect statistics as the arguments of a command say."""

from argparse import Namespace
from collections.abc import Iterable
from typing import Any

from qcore.adapters import onnx
from qcore.adapters.cli.arguments import selected
from qcore.statistics import Statistics


def collect(arguments: Namespace) -> dict[str, Statistics]:
    """Return the statistics of the model's activations, by tensor."""
    options: dict[str, Any] = selected(arguments)
    if arguments.bins:
        options["bins"] = arguments.bins
    if arguments.quiet:
        options["progress"] = _silent
    return onnx.calibrate(arguments.model, arguments.data, **options)


def _silent(samples: Iterable[Any], total: int | None) -> Iterable[Any]:
    del total
    return samples
