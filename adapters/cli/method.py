"""Refuse a method before data is collected for it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

import qcore
from qcore.adapters.cli.errors import BadInputError


def check_method(
    argument: str, name: str, spec: qcore.QuantSpec, options: Mapping[str, Any]
) -> None:
    """Refuse a method that is unknown, reads no histogram or lacks an option."""
    some = qcore.Histogram.of(np.ones(1, np.float32))
    try:
        qcore.calibrate(some, spec, name, **options)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{argument}: {error}") from error
