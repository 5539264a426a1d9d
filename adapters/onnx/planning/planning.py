"""Decide what of a model is to compute in 8 bits."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from inspect import signature
from typing import Any

import onnx_ir as ir

from qcore.adapters.onnx.files.model_file import Source
from qcore.adapters.onnx.formats import choose_formats
from qcore.adapters.onnx.graph.bodies import enclosing_nodes
from qcore.adapters.onnx.graph.operands import activations, is_standard, written_as
from qcore.adapters.onnx.graph.stored_operands import is_table, why_not_stored
from qcore.adapters.onnx.planning.between import floats_between
from qcore.adapters.onnx.planning.eligibility import Reason, why_float
from qcore.adapters.onnx.planning.observation import why_unobserved
from qcore.adapters.onnx.planning.placement import Placement, in_codes, place
from qcore.adapters.onnx.planning.placement_at_readers import place_at_readers
from qcore.adapters.onnx.planning.plan import KeptFloat, Plan
from qcore.adapters.onnx.planning.selection import Selection
from qcore.adapters.onnx.planning.sharing import share
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.ranges import find_statistics
from qcore.adapters.onnx.recovery.level import known_level
from qcore.adapters.onnx.targets import Target, find_target
from qcore.errors import QuantError
from qcore.spec import QuantSpec
from qcore.statistics import Statistics

_LEFT_FLOAT = ("ConvTranspose", "Einsum")
"""Products that some targets do in floats."""


def plan(
    model: Source,
    /,
    *,
    statistics: Mapping[str, Statistics] | None = None,
    target: str = "onnxruntime",
    activation: str | QuantSpec | None = None,
    fake: bool = False,
    op_types: Collection[str] | None = None,
    include: Collection[str] = (),
    exclude: Collection[str] = (),
    keep_existing: bool = False,
    recover: str | None = None,
) -> Plan:
    """
    Return what `quantize` would do to a model, and what it would leave float and why.

    Parameters
    ----------
    model : path or ModelProto
        The float model.
    statistics : mapping, optional
        What was collected, by tensor. Nodes whose activations are not in it stay
        float; without it, whatever is needed is taken to be there.
    target : str, optional
        The runtime, one of `targets.TARGETS`: ``"onnxruntime"``, ``"tensorrt"`` or
        ``"openvino"``. It decides what is quantized and where.
    activation, fake : optional
        Codes of activations, as in `quantize`: not all are wanted in the same places.
    op_types : collection of str, optional
        Which of the operators that the target computes in 8 bits may do so; all by
        default: Conv, Gemm and MatMul, and but for onnxruntime ConvTranspose.
    include : collection of str, optional
        Which products may do so, by name or operator; ``*`` and ``?`` stand for any
        characters. All by default.
    exclude : collection of str, optional
        Nodes that stay float, named in the same way; products and others.
    keep_existing : bool, optional
        Take a model that holds nodes on codes already; they stay as they are, and so
        does what they feed with weights.
    recover : str, optional
        As in `quantize`, where it is done by default. With ``"none"`` a Conv that
        answers in floats stays float, if the target has no integer one that does.

    Raises
    ------
    QuantError
        If the model cannot be read or is quantized already, the target or `recover` is
        not known, an operator is none of its, or `include` or `exclude` match no node.
    """
    if recover is not None:
        recover = known_level(recover)
    rules = choose_formats(find_target(target), activation=activation, fake=fake).target
    return plan_prepared(
        prepare(model, keep_existing=keep_existing),
        replace(rules, answers=recover != "none"),
        Selection(op_types, include, exclude),
        statistics=statistics,
    )


def plan_options(options: Mapping[str, Any], /) -> dict[str, Any]:
    """Return those options of `quantize` that `plan` takes, too."""
    known = signature(plan).parameters
    return {name: value for name, value in options.items() if name in known}


def plan_prepared(
    model: ir.Model,
    target: Target,
    selection: Selection,
    *,
    statistics: Mapping[str, Statistics] | None = None,
) -> Plan:
    """Return the plan for a model that `prepare` gave."""
    graph = model.graph
    selection.check(graph, target)
    unknown = _unknown(graph, statistics)
    why = _reasons(graph, target, selection, unknown)
    able = [node for node, reason in why.items() if reason is None]
    compute = [node for node in able if is_standard(node, *target.compute)]

    def known(value: ir.Value) -> bool:
        return unknown(value) is None

    if target.mode != "static":
        carriers, quantized = Placement([], [])
    elif target.carries:
        carriers, quantized = place(graph, set(compute), known, selection.excludes)
    else:
        carriers, quantized = place_at_readers(
            graph, set(compute), known, target, selection.excludes
        )
    kept = [
        KeptFloat(str(node.name), written_as(node), reason)
        for node, reason in why.items()
        if reason is not None
    ]
    if target.carries:
        on_codes = {*compute, *carriers}
        between = floats_between(
            graph, on_codes, set(quantized), selection.excludes, target.name
        )
        candidates = {str(node.name) for node in why}
        kept += [left for left in between if left.node not in candidates]
    return Plan(
        compute=tuple(str(node.name) for node in compute),
        carriers=tuple(str(node.name) for node in carriers),
        tensors=share(quantized, carriers if target.carries else ()),
        kept_float=tuple(kept),
        stores=tuple(str(node.name) for node in able if node not in set(compute)),
    )


def _unknown(
    graph: ir.Graph, statistics: Mapping[str, Statistics] | None
) -> Callable[[ir.Value], Reason]:
    """Return what tells why nothing is known of a tensor's values, if that is so."""
    enclosing = enclosing_nodes(graph)

    def unknown(value: ir.Value) -> Reason:
        if statistics is None or find_statistics(value, statistics) is None:
            return why_unobserved(value, enclosing, is_over=statistics is not None)
        return None

    return unknown


def _reasons(
    graph: ir.Graph,
    target: Target,
    selection: Selection,
    unknown: Callable[[ir.Value], Reason],
) -> dict[ir.Node, Reason]:
    """Return why each candidate stays float; None for those that do not."""
    enclosing = enclosing_nodes(graph)
    # What was named is meant.
    rules = replace(target, answers=target.answers or bool(selection.include))

    def reasons(node: ir.Node) -> Iterator[Reason]:
        yield selection.why_float(node)
        if not is_standard(node, *target.operators):
            yield f"{target.name} has no integer kernel for it"
        elif is_standard(node, *target.stores):
            yield why_not_stored(node, target)
        else:
            yield why_float(node, rules, enclosing)
            yield from map(unknown, _read(node, target))

    candidates = [node for node in graph.all_nodes() if _is_candidate(node, target)]
    return {node: next(filter(None, reasons(node)), None) for node in candidates}


def refuse_idle(plan: Plan, target: Target) -> None:
    """Raise if a plan leaves everything float; say why of the first node it leaves."""
    if not plan.compute and not (target.mode == "weights" and plan.stores):
        what = " or ".join(target.compute or target.stores)
        raise QuantError(f"`model` has no {what} to quantize{plan.first_reason}")


def _is_candidate(node: ir.Node, target: Target) -> bool:
    """Return whether a node may compute on codes or look them up, for all we know."""
    # Most lookups are in shapes or activations, which nobody would ask about.
    is_other = node.op_type == "Gather" and not is_table(node)
    return is_standard(node, *target.operators, *_LEFT_FLOAT) and not is_other


def _read(node: ir.Node, target: Target) -> tuple[ir.Value, ...]:
    """Return the tensors that must be quantized for a product to compute in 8 bits."""
    if target.mode != "static":
        return ()
    return in_codes(node) if target.carries else activations(node)
