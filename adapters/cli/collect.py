"""Collect statistics as the arguments of a command say."""

import zlib
from argparse import Namespace
from collections.abc import Iterable
from typing import Any
from zipfile import BadZipFile

from qcore.adapters import onnx
from qcore.adapters.cli.arguments import selected
from qcore.adapters.cli.errors import BadInputError
from qcore.statistics import Statistics


def collect(arguments: Namespace) -> dict[str, Statistics]:
    """Return the statistics of the model's activations, by tensor."""
    options: dict[str, Any] = selected(arguments)
    if arguments.bins:
        options["bins"] = arguments.bins
    if arguments.quiet:
        options["progress"] = _silent
    try:
        return onnx.calibrate(arguments.model, arguments.data, **options)
    except (BadZipFile, EOFError, zlib.error) as error:
        raise BadInputError(f"{str(arguments.data)!r} is damaged: {error}") from error


def _silent(samples: Iterable[Any], total: int | None) -> Iterable[Any]:
    del total
    return samples
