"""A JAX function as a model of ONNX, its codes those of `fake_quant`."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from qcore import QParams
from qcore.adapters.jax.calls import Closed
from qcore.adapters.jax.config import Plan
from qcore.adapters.jax.exported_call import ExportedCall, exported_call
from qcore.adapters.jax.onnx.builder import Builder
from qcore.adapters.jax.onnx.quantizing import opset_needed
from qcore.adapters.jax.onnx.writer import Writer, is_key, known
from qcore.adapters.jax.parameters import leaf_name
from qcore.adapters.jax.program import Program, is_array
from qcore.errors import QuantError
from qcore.statistics import Statistics

EARLIEST_OPSET = 18
"""The first in which reductions and pads take axes as the primitives have them."""


def onnx_model(
    f: Callable[..., Any],
    qparams: Mapping[str, QParams | Statistics] | None,
    args: tuple[Any, ...],
    config: Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    opset: int | None = None,
) -> onnx.ModelProto:
    """Return the model that `export_onnx` writes; it raises the same errors."""
    if opset is not None and opset < EARLIEST_OPSET:
        raise QuantError(f"`opset` must be at least {EARLIEST_OPSET}; got {opset}.")
    call = exported_call(f, qparams, args, config, kwargs)
    program, plans, used = call.program, call.plans, call.qparams
    builder = Builder(
        max([opset or EARLIEST_OPSET, *_opsets(plans, used)]),
        getattr(f, "__name__", "function"),
    )
    writer = Writer(builder, plans, used)
    inputs = []
    for name, leaf, is_weight in zip(
        _names(f, call), program.leaves, program.is_weight, strict=True
    ):
        if is_weight:
            array = known(leaf)
            builder.name_origin(array, name)
            inputs.append(array)
        elif is_key(leaf):
            raise QuantError(
                f"arguments must be numbers to be inputs of ONNX; {name} is a random "
                "key. Close over it to make it a constant."
            )
        else:
            inputs.append(builder.input(name, leaf.shape, leaf.dtype))
    outputs = writer.run(Closed(program.closed.jaxpr, program.closed.consts), inputs)
    if writer.unsupported:
        raise QuantError(
            "every primitive must have an operator of ONNX to be exported; "
            f"{'; '.join(writer.unsupported)}."
        )
    for name, x in zip(_output_names(program), outputs, strict=True):
        builder.output(x, name)
    return _finished(builder)


def _opsets(plans: list[Plan], qparams: Mapping[str, QParams]) -> Iterator[int]:
    """Yield the opset that each site needs."""
    for plan in plans:
        given = qparams.get(plan.site.name)
        spec = plan.spec if given is None else given.spec
        yield opset_needed(plan, spec)


def _names(f: Callable[..., Any], call: ExportedCall) -> Iterator[str]:
    """Yield a name of each array of the arguments: that of the argument, and a path."""
    given = [*_parameters(f, len(call.args)), *call.kwargs]
    for number, argument in enumerate((*call.args, *call.kwargs.values())):
        for path, leaf in jax.tree_util.tree_leaves_with_path(argument):
            if is_array(leaf):
                yield _joined(given[number], path)


def _parameters(f: Callable[..., Any], count: int) -> list[str]:
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):  # of what C has made
        parameters = []
    kinds = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    names = [one.name for one in parameters if one.kind in kinds]
    return [*names[:count], *(f"input{n}" for n in range(len(names), count))]


def _output_names(program: Program) -> list[str]:
    variables = program.closed.jaxpr.outvars
    result = jax.tree_util.tree_leaves_with_path(program.restored(variables))
    names = [_joined("output", path) for path, _ in result]
    if len(names) > len(variables) or not names:
        raise QuantError(
            "results of `f` must be arrays of JAX to be outputs of ONNX; got "
            f"{len(names)} results, {len(variables)} of them such."
        )
    return names


def _joined(name: str, path: tuple[Any, ...]) -> str:
    return "/".join(part for part in (name, leaf_name(path)) if part)


def _finished(builder: Builder) -> onnx.ModelProto:
    opset = builder.opset
    version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    model = ir.Model(builder.graph, ir_version=version, producer_name="qcore")
    RemoveUnusedNodesPass()(model)
    for node in builder.graph.all_nodes():
        for value in node.outputs:
            if value.type is None:  # the shape alone has no place in a file
                value.shape = None
    proto = ir.to_proto(model)
    if proto.ByteSize() < onnx.checker.MAXIMUM_PROTOBUF:
        onnx.checker.check_model(proto, full_check=True)
    return proto
