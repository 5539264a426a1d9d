"""What several models lose, a column each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qcore.adapters.onnx import ModelComparison, TensorComparison

Rows = list[tuple[str, ...]]


def names_of(paths: Sequence[Path], /) -> list[str]:
    """Return what to call files: without folder and ending, if that tells them apart.

    A file that was named twice is one.
    """
    stems = [path.stem for path in paths]
    is_clear = len(set(stems)) == len({*paths})
    return stems if is_clear else [str(path) for path in paths]


def side_by_side(found: Mapping[str, ModelComparison], /) -> tuple[Rows, Rows]:
    """Return rows of the outputs, and of all other tensors, the worst of any first."""
    outputs = [{one.name: one for one in model.outputs} for model in found.values()]
    tensors = [{one.name: one for one in model.tensors} for model in found.values()]
    return _rows(outputs, _names(outputs)), _rows(tensors, _by_rank(tensors))


Column = Mapping[str, TensorComparison]


def _names(columns: Sequence[Column]) -> list[str]:
    return list(dict.fromkeys(name for column in columns for name in column))


def _by_rank(columns: Sequence[Column]) -> list[str]:
    def rank(name: str) -> float:
        return min(column[name].rank for column in columns if name in column)

    return sorted(_names(columns), key=rank)


def _rows(columns: Sequence[Column], names: Sequence[str]) -> Rows:
    return [
        (name, *(_figure(column.get(name)) for column in columns)) for name in names
    ]


def _figure(found: TensorComparison | None) -> str:
    if found is None:
        return "-"
    if found.equal is not None:
        return f"{found.equal:.2%}"
    return f"{found.sqnr:.2f}"
