"""`qcore demo`: every method on a small network, scored."""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.table import table
from qcore.adapters.demo import Row, collect, compare, load_digits

HEADER = ("method", "accuracy", "agreement", "SQNR dB", "size kB", "time ms")


def run(arguments: Namespace) -> Iterator[str]:
    """Yield the scores of the float model and of each int8 model."""
    digits = load_digits()
    with ExitStack() as stack:
        folder = arguments.out or Path(stack.enter_context(TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        statistics, seconds = collect(digits)
        rows = list(compare(digits, statistics, folder))
    if arguments.json:
        yield to_json(rows)
        return
    if arguments.quiet:
        return
    yield (
        f"Statistics of {len(statistics)} activations, collected once from "
        f"{len(digits.calibration)} digits in {seconds:.2f} s, serve every method."
    )
    unseen = len(digits.images)
    yield f"ONNX Runtime scores the models on {unseen} digits never trained on."
    yield (
        "Agreement and SQNR compare with float; time is from statistics to int8 model."
    )
    yield ""
    yield from table(HEADER, [_cells(row) for row in rows])
    if arguments.out:
        yield ""
        yield f"The int8 models are in {folder}."


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.method,
        f"{row.accuracy:.1%}",
        f"{row.agreement:.1%}",
        "-" if row.sqnr is None else f"{row.sqnr:.1f}",
        f"{row.size / 1000:.1f}",
        "-" if row.seconds is None else f"{row.seconds * 1000:.0f}",
    )
