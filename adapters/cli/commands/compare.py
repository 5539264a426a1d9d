"""`qcore compare`: how close a quantized model is to the float one."""

from argparse import Namespace
from collections.abc import Iterator, Sequence

from qcore.adapters import onnx
from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.listed import listed
from qcore.adapters.cli.samples import samples
from qcore.adapters.cli.screen import fitted
from qcore.adapters.cli.table import table

HEADER = ("tensor", "operator", "SQNR dB", "cosine", "equal")


def run(arguments: Namespace) -> Iterator[str]:
    """Yield the figures of the outputs, then those of the worst tensors."""
    found = onnx.compare(
        arguments.float_model,
        arguments.quantized_model,
        samples(arguments),
        samples=arguments.samples,
        deployed=arguments.deployed,
    )
    yield from [to_json(found)] if arguments.json else _told(found, arguments.limit)


def _told(found: onnx.ModelComparison, limit: int) -> Iterator[str]:
    outputs, tensors = found.outputs, found.tensors
    shown = tensors[:limit] if limit else tensors
    how = "outputs as deployed" if found.deployed else "operators as written"
    over = _counted(found.samples, "sample")
    yield f"Over {over}, {how}; the outputs, then the worst:"
    yield ""
    head, *lines = _lines([*outputs, *shown])
    yield from (head, *lines[: len(outputs)], "", *lines[len(outputs) :])
    if len(shown) < len(tensors):
        yield f"{len(tensors) - len(shown)} more are closer (--limit 0 shows all)."
    for reason in dict.fromkeys(found.unmatched.values()):
        names = [name for name, why in found.unmatched.items() if why == reason]
        yield ""
        yield from listed(f"not compared: {reason}", names)


def _lines(rows: Sequence[onnx.TensorComparison]) -> Iterator[str]:
    used = len(HEADER) if any(row.equal is not None for row in rows) else -1
    cells = [(row.name, *_cells(row))[:used] for row in rows]
    return table(HEADER[:used], fitted(HEADER[:used], cells), text=2)


def _cells(row: onnx.TensorComparison) -> tuple[str, str, str, str]:
    return (
        row.op_type or "(input)",
        "-" if row.sqnr is None else f"{row.sqnr:.2f}",
        "-" if row.cosine is None else f"{row.cosine:.6f}",
        "-" if row.equal is None else f"{row.equal:.2%}",
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
