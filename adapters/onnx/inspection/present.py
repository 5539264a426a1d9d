"""What in a quantized model is in codes, what these stand for and what is float."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from qcore.adapters.onnx.inspection.codes import (
    computing_on_codes,
    kept_float,
    other_operators,
)
from qcore.adapters.onnx.inspection.grids import Grid, grids_of
from qcore.adapters.onnx.inspection.sizes import Stored, sizes_of
from qcore.adapters.onnx.planning.plan import KeptFloat
from qcore.adapters.onnx.targets import Target


@dataclass(frozen=True)
class Present:
    """A quantized model.

    Attributes
    ----------
    on_codes : tuple of str
        The products that compute on codes.
    kept_float : tuple of KeptFloat
        Those that do not.
    other_operators : mapping
        How many there are of each other operator that neither reads nor gives codes.
    grids : tuple of Grid
        Of activations, weights and biases.
    constants : tuple of Stored
        What they take.
    compression : float
        How many times as large the constants would be as floats.
    """

    on_codes: tuple[str, ...]
    kept_float: tuple[KeptFloat, ...]
    other_operators: Mapping[str, int]
    grids: tuple[Grid, ...]
    constants: tuple[Stored, ...]
    compression: float


def present(model: ir.Model, target: Target) -> Present:
    """Return what is in a quantized model; what could be, `target` says."""
    graph = model.graph
    on_codes, left = computing_on_codes(graph, target), [*kept_float(graph, target)]
    told = {*on_codes, *(node.node for node in left)}
    grids = grids_of(graph)
    constants = sizes_of(model, grids)
    return Present(
        on_codes=tuple(on_codes),
        kept_float=tuple(left),
        other_operators=other_operators(graph, told),
        grids=tuple(grids),
        constants=tuple(constants),
        compression=sum(stored.float_bytes for stored in constants)
        / max(sum(stored.bytes for stored in constants), 1),
    )
