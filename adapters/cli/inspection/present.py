"""Say what in a quantized model is in codes, what these stand for and what is float."""

from collections.abc import Iterator, Sequence

from qcore.adapters.cli.listed import counted, listed
from qcore.adapters.cli.screen import fitted
from qcore.adapters.cli.table import table
from qcore.adapters.cli.units import size
from qcore.adapters.onnx.inspection.grids import ROLES, Grid
from qcore.adapters.onnx.inspection.present import Present
from qcore.adapters.onnx.inspection.sizes import Stored

GRIDS = ("codes", "scales", "scale", "zero point")
SIZES = ("stored as", "holds", "tensors", "values", "bytes")


def told(found: Present, limit: int) -> Iterator[str]:
    """Yield it as lines of text."""
    yield from listed("quantized already: these compute on codes", found.on_codes)
    for node in found.kept_float:
        yield f"{node.op_type} {node.node!r} is float: {node.reason}."
    if found.other_operators:
        others = counted(found.other_operators)
        yield f"Other operators that neither read nor give codes: {others}."
    for role, called in ROLES.items():
        grids = [grid for grid in found.grids if grid.role == role]
        if grids:
            yield ""
            yield from _grids(called, grids, limit)
    yield ""
    yield from table(SIZES, [_size(stored) for stored in found.constants], text=2)
    whole = sum(stored.bytes for stored in found.constants)
    yield (
        f"Constants take {size(whole)}; as floats they would take "
        f"{found.compression:.2f} times as much."
    )


def _grids(called: str, grids: Sequence[Grid], limit: int) -> Iterator[str]:
    shown = grids[:limit] if limit else grids
    rows = [(grid.tensor, *_cells(grid)) for grid in shown]
    yield from table((called, *GRIDS), fitted((called, *GRIDS), rows), text=3)
    if len(shown) < len(grids):
        yield f"{len(grids) - len(shown)} more (--limit 0 shows all)."


def _cells(grid: Grid) -> tuple[str, str, str, str]:
    scales = grid.granularity
    if grid.scales > 1:
        scales = f"{grid.scales} {scales}"
    return grid.format, scales, _span(grid.scale, ".4g"), _span(grid.zero_point, "g")


def _span(ends: tuple[float, float] | None, form: str) -> str:
    if ends is None:
        return "at run time"
    low, high = (f"{end:{form}}" for end in ends)
    return low if low == high else f"{low} … {high}"


def _size(stored: Stored) -> tuple[str, ...]:
    numbers = (f"{stored.tensors}", f"{stored.values:,}", size(stored.bytes))
    return (stored.format, stored.holds, *numbers)
