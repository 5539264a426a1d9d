"""Describe a file of statistics: a line for each tensor."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qcore
from qcore import Histogram
from qcore.adapters.cli.arguments import method_options
from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.errors import BadInputError
from qcore.adapters.cli.table import table
from qcore.adapters.cli.units import size
from qcore.adapters.codes import activation_spec
from qcore.statistics import Statistics

DEFAULTS = {
    "Histogram": "mse",
    "MovingRange": "moving_average",
    "Range": "minmax",
    "Top2": "isotone",
}
"""Which method is shown if none was asked for."""

HEADER = (
    *("tensor", "kind", "min", "max", "zeros", "NaN", "inf"),
    *("method", "lo", "hi", "SQNR dB"),
)


@dataclass(frozen=True)
class Seen:
    """What was seen of a tensor, of all channels together, and a range for it.

    Attributes
    ----------
    tensor, kind : str
        Its name and the kind of statistics.
    channels : int or None
        How many there are; None without any.
    min, max : float or None
        Of the finite values.
    zeros : float or None
        Share of the finite values.
    nan, inf : int
        How many there were.
    method : str
        What chose the range.
    lo, hi : float or None
        Ends of the widest range.
    sqnr : float or None
        Expected of the worst channel, in dB.
    """

    tensor: str
    kind: str
    channels: int | None
    min: float | None
    max: float | None
    zeros: float | None
    nan: int
    inf: int
    method: str
    lo: float | None
    hi: float | None
    sqnr: float | None


def describe(path: Path, arguments: Namespace) -> Iterator[str]:
    """Yield what was seen of each tensor, and the range that a method chooses.

    A line tells of all channels: how often, and the ends of the widest range.
    """
    statistics = qcore.load(path)
    spec = activation_spec(arguments.activation, arguments.symmetric)
    options = method_options(arguments)
    seen = [
        _seen(name, state, spec, method, options)
        for name, state in statistics.items()
        for method in [arguments.method or DEFAULTS[type(state).__name__]]
    ]
    if arguments.json:
        yield to_json(seen)
        return
    yield f"{path}: statistics of {len(seen)} tensors; {size(path.stat().st_size)}."
    yield f"Ranges are those for {spec.format.name}, {_symmetry(spec)}."
    yield ""
    rows = [_cells(tensor) for tensor in seen]
    shown = rows[: arguments.limit] if arguments.limit else rows
    yield from table(HEADER, shown, text=2)
    if len(shown) < len(rows):
        yield f"{len(rows) - len(shown)} more (--limit 0 shows all)."


def _symmetry(spec: qcore.QuantSpec) -> str:
    return "symmetric" if spec.symmetric else "asymmetric"


def _cells(tensor: Seen) -> tuple[str, ...]:
    of_channels = "" if tensor.channels is None else f" x {tensor.channels}"
    return (
        tensor.tensor,
        f"{tensor.kind}{of_channels}",
        _number(tensor.min),
        _number(tensor.max),
        _number(tensor.zeros, ".1%"),
        str(tensor.nan),
        str(tensor.inf),
        tensor.method,
        _number(tensor.lo),
        _number(tensor.hi),
        _number(tensor.sqnr, ".1f"),
    )


def _number(value: float | None, form: str = ".6g") -> str:
    return "-" if value is None else f"{value:{form}}"


def _seen(
    name: str,
    state: Statistics,
    spec: qcore.QuantSpec,
    method: str,
    options: Mapping[str, Any],
) -> Seen:
    low, high = float(state.min.min()), float(state.max.max())
    is_empty = low > high
    return Seen(
        name,
        type(state).__name__,
        None if state.extents == () else state.channels,
        None if is_empty else low,
        None if is_empty else high,
        _zeros(state),
        int(state.nans.sum()),
        int(state.infs.sum()),
        method,
        *_range(name, state, spec, method, options),
    )


def _zeros(state: Statistics) -> float | None:
    if not isinstance(state, Histogram):
        return None
    zeros = int(state.zeros.sum())
    total = zeros + int(state.counts.sum())
    return zeros / total if total else None


def _range(
    name: str,
    state: Statistics,
    spec: qcore.QuantSpec,
    method: str,
    options: Mapping[str, Any],
) -> tuple[float | None, float | None, float | None]:
    """Return the ends of the range that a method chooses and the expected SQNR."""
    how = {"nonfinite": "ignore", **options}
    try:
        low, high = qcore.compute_range(state, spec, method, **how)
        qparams = qcore.calibrate(state, spec, method, **how)
    except qcore.NoDataError:
        return None, None, None
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{name!r}: {error}") from error
    sqnr = None
    if isinstance(state, Histogram):
        sqnr = float(qcore.expected_error(state, qparams, metric="sqnr").min())
    return float(low.min()), float(high.max()), sqnr
