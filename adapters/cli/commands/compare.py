"""`qcore compare`: how close quantized models are to the float one."""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qcore.adapters import onnx
from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.listed import listed
from qcore.adapters.cli.samples import samples
from qcore.adapters.cli.screen import fitted
from qcore.adapters.cli.side_by_side import Rows, names_of, side_by_side
from qcore.adapters.cli.table import table

HEADER = ("tensor", "operator", "SQNR dB", "cosine", "equal")


def run(arguments: Namespace) -> Iterator[str]:
    """Yield the figures of the outputs, then those of the worst tensors."""
    paths = arguments.quantized_models
    found = onnx.compare_each(
        arguments.float_model,
        dict(zip(names_of(paths), paths, strict=True)),
        samples(arguments),
        samples=arguments.samples,
        deployed=arguments.deployed,
        progress=_unseen if arguments.quiet else None,
    )
    first, *others = found.values()
    if arguments.json:
        yield to_json(found if others else first)
    else:
        yield from _told(found, arguments.limit)


def _unseen(given: Iterable[Any], _: int | None) -> Iterable[Any]:
    """Follow samples without a bar."""
    return given


def _told(found: Mapping[str, onnx.ModelComparison], limit: int) -> Iterator[str]:
    first, *others = found.values()
    how = "outputs as deployed" if first.deployed else "operators as written"
    over = _counted(first.samples, "sample")
    if others:
        outputs, tensors = side_by_side(found)
        header, text = ("tensor", *found), 1
        what = "SQNR in dB of the outputs, then of the worst tensors"
    else:
        header, outputs, tensors = _figures(first)
        what, text = "the outputs, then the worst", 2
    shown = tensors[:limit] if limit else tensors
    yield f"Over {over}, {how}; {what}:"
    yield ""
    cells = fitted(header, [*outputs, *shown])
    head, *lines = table(header, cells, text)
    yield from (head, *lines[: len(outputs)], "", *lines[len(outputs) :])
    if len(shown) < len(tensors):
        yield f"{len(tensors) - len(shown)} more are closer (--limit 0 shows all)."
    for name, one in found.items():
        what = f"not compared with {name}" if others else "not compared"
        for reason in dict.fromkeys(one.unmatched.values()):
            without = [key for key, why in one.unmatched.items() if why == reason]
            yield ""
            yield from listed(f"{what}: {reason}", without)


def _figures(found: onnx.ModelComparison) -> tuple[tuple[str, ...], Rows, Rows]:
    """Return the header, the outputs and the other tensors of a single model."""
    both: Sequence[onnx.TensorComparison] = [*found.outputs, *found.tensors]
    used = len(HEADER) if any(row.equal is not None for row in both) else -1
    rows = [(row.name, *_cells(row))[:used] for row in both]
    ends = len(found.outputs)
    return HEADER[:used], rows[:ends], rows[ends:]


def _cells(row: onnx.TensorComparison) -> tuple[str, str, str, str]:
    return (
        row.op_type or "(input)",
        "-" if row.sqnr is None else f"{row.sqnr:.2f}",
        "-" if row.cosine is None else f"{row.cosine:.6f}",
        "-" if row.equal is None else f"{row.equal:.2%}",
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
