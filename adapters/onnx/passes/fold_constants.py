"""Compute what depends on constants alone, so that weights are seen as constants."""

from contextlib import suppress

import onnx_ir as ir
from onnx_ir.passes.common import (
    LiftConstantsToInitializersPass,
    RemoveInitializersFromInputsPass,
)
from onnxscript.optimizer import fold_constants_ir

# Weights pass through these; none of them makes a tensor larger.
LAYOUT = frozenset(
    {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)

_NOTE = "pkg.onnxscript.optimizer.folded_from"
"""What onnxscript notes of a constant; the model that was given did not say so."""


def fold_constants(model: ir.Model) -> ir.Model:
    """Return the model with every constant, and no input, among the initializers."""
    model = RemoveInitializersFromInputsPass()(model).model
    # onnxscript 0.7 fails on a constant that is split into a sequence: what it has not
    # come to by then stays as it is.
    with suppress(RuntimeError):
        # It leaves large tensors alone unless told to fold them.
        fold_constants_ir(model, should_fold=_is_layout)
    lift = LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)
    folded: ir.Model = lift(model).model
    for graph in folded.graphs():
        for value in graph.initializers.values():
            value.metadata_props.pop(_NOTE, None)
    return folded


def _is_layout(node: ir.Node) -> bool | None:
    """Return whether to fold a node however large; ``None`` lets onnxscript decide."""
    return True if node.op_type in LAYOUT and not node.domain else None
