"""What is done to a model before it is calibrated or quantized, in this order.

The same model always gives the same result, with the names its tensors had, so that
statistics of the one fit the other.
"""

import onnx_ir as ir
from onnx_ir.passes.common import InlinePass

from qcore.adapters.onnx.argument_kinds import check_flags
from qcore.adapters.onnx.files.blaming import blames_the_model
from qcore.adapters.onnx.files.model_file import Source, to_ir
from qcore.adapters.onnx.passes.absorb_affine import absorb_affine
from qcore.adapters.onnx.passes.absorb_affine_before import absorb_affine_before
from qcore.adapters.onnx.passes.absorb_pad import absorb_pad
from qcore.adapters.onnx.passes.clean import clean, name_all
from qcore.adapters.onnx.passes.distinct_names import distinct_names
from qcore.adapters.onnx.passes.einsum_as_matmul import einsum_as_matmul
from qcore.adapters.onnx.passes.fold_constants import fold_constants
from qcore.adapters.onnx.passes.fold_factors import fold_factors
from qcore.adapters.onnx.passes.infer_types import infer_types
from qcore.adapters.onnx.passes.mean_as_pool import mean_as_pool
from qcore.adapters.onnx.passes.raise_opset import OPSET, raise_opset
from qcore.adapters.onnx.passes.scalar_bounds import scalar_bounds
from qcore.adapters.onnx.passes.spread_biases import spread_biases
from qcore.adapters.onnx.quantized_already import refuse_quantized
from qcore.adapters.onnx.training import refuse_training


def inline_functions(model: ir.Model) -> ir.Model:
    """Return the model with the bodies of its own functions in place of their calls."""
    return InlinePass()(model).model if model.functions else model


PASSES = (
    inline_functions,
    raise_opset,
    name_all,  # before others do, who call any node "node"
    fold_constants,
    refuse_training,
    infer_types,
    einsum_as_matmul,
    mean_as_pool,
    fold_factors,
    absorb_affine,
    absorb_pad,
    absorb_affine_before,
    scalar_bounds,
    spread_biases,
    clean,
    distinct_names,
)


@blames_the_model
def prepare(
    model: Source, /, *, keep_existing: bool = False, opset: int = OPSET
) -> ir.Model:
    """Return a path's or a proto's model, ready to be calibrated or quantized.

    It has at least that opset.

    Raises
    ------
    QuantError
        If it cannot be read, is in training mode, or is quantized already, unless that
        is to be kept.
    """
    check_flags(keep_existing=keep_existing)
    prepared = to_ir(model)
    if not keep_existing:
        refuse_quantized(prepared)
    given = {value.name: (value.type, value.shape) for value in ends(prepared.graph)}
    for rewrite in PASSES:
        is_raising = rewrite is raise_opset
        prepared = raise_opset(prepared, opset) if is_raising else rewrite(prepared)
    # What is found out about inputs and outputs is no change to what they promise.
    for value in ends(prepared.graph):
        value.type, value.shape = given[value.name]
    return prepared


def ends(graph: ir.Graph, /) -> list[ir.Value]:
    """Return the inputs and outputs of a graph."""
    return [*graph.inputs, *graph.outputs]
