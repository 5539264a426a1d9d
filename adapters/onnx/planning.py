"""Decide what of a model is to compute in 8 bits."""

from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase

import onnx_ir as ir

from qcore.adapters.onnx.eligibility import Reason, why_float
from qcore.adapters.onnx.model_file import Source
from qcore.adapters.onnx.operands import activations, is_standard, written_as
from qcore.adapters.onnx.placement import Known, in_codes, place
from qcore.adapters.onnx.plan import KeptFloat, Plan
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.ranges import find_statistics
from qcore.adapters.onnx.reading import place_at_readers
from qcore.adapters.onnx.sharing import share
from qcore.adapters.onnx.targets import Target, find_target
from qcore.errors import QuantError, nearest
from qcore.statistics import Statistics


def plan(
    model: Source,
    /,
    *,
    statistics: Mapping[str, Statistics] | None = None,
    target: str = "onnxruntime",
    op_types: Collection[str] | None = None,
    exclude: Collection[str] = (),
    keep_existing: bool = False,
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
    op_types : collection of str, optional
        Which of the operators that the target computes in 8 bits may do so; all by
        default: Conv, Gemm and MatMul, and but for onnxruntime ConvTranspose.
    exclude : collection of str, optional
        Names of nodes that stay float; ``*`` and ``?`` stand for any characters.
    keep_existing : bool, optional
        Take a model that holds nodes on codes already; they stay as they are, and so
        does what they feed with weights.

    Raises
    ------
    QuantError
        If the model cannot be read or is quantized already, the target is not known, an
        operator is none of its, or a name in `exclude` is not that of one.
    """
    return plan_prepared(
        prepare(model, keep_existing=keep_existing),
        find_target(target),
        statistics=statistics,
        op_types=op_types,
        exclude=exclude,
    )


def plan_prepared(
    model: ir.Model,
    target: Target,
    *,
    statistics: Mapping[str, Statistics] | None = None,
    op_types: Collection[str] | None = None,
    exclude: Collection[str] = (),
) -> Plan:
    """Return the plan for a model that `prepare` gave."""
    graph = model.graph
    able = target.compute
    candidates = [node for node in graph.all_nodes() if is_standard(node, *able)]
    op_types = able if op_types is None else op_types
    _check_choice(candidates, target, op_types, exclude)

    def known(value: ir.Value) -> bool:
        return statistics is None or find_statistics(value, statistics) is not None

    def reasons(node: ir.Node) -> Iterator[Reason]:
        yield None if written_as(node) in op_types else "its operator was not chosen"
        yield "it is excluded" if _is_excluded(node, exclude) else None
        yield None if node.graph is graph else "it lies inside another operator"
        yield why_float(node, target)
        yield _uncalibrated(_read(node, target), known)

    why = {node: next(filter(None, reasons(node)), None) for node in candidates}
    compute = [node for node in candidates if why[node] is None]
    carriers, quantized = (
        place(graph, set(compute), known)
        if target.carries
        else place_at_readers(graph, set(compute), known, target)
    )
    return Plan(
        compute=tuple(str(node.name) for node in compute),
        carriers=tuple(str(node.name) for node in carriers),
        tensors=share(quantized, carriers if target.carries else ()),
        kept_float=tuple(
            KeptFloat(str(node.name), written_as(node), reason)
            for node, reason in why.items()
            if reason is not None
        ),
    )


def refuse_idle(plan: Plan, target: Target) -> None:
    """Raise if a plan leaves everything float; say why of the first node it leaves."""
    if not plan.compute:
        what = " or ".join(target.compute)
        raise QuantError(f"`model` has no {what} to quantize{plan.first_reason}")


def _read(node: ir.Node, target: Target) -> tuple[ir.Value, ...]:
    """Return the tensors that must be quantized for a product to compute in 8 bits."""
    return in_codes(node) if target.carries else activations(node)


def _uncalibrated(values: tuple[ir.Value, ...], known: Known) -> Reason:
    unknown = [value.name for value in values if not known(value)]
    return f"{unknown[0]!r} was not calibrated" if unknown else None


def _is_excluded(node: ir.Node, exclude: Collection[str]) -> bool:
    return any(fnmatchcase(str(node.name), pattern) for pattern in exclude)


def _check_choice(
    candidates: list[ir.Node],
    target: Target,
    op_types: Collection[str],
    exclude: Collection[str],
) -> None:
    for op_type in op_types:
        if op_type not in target.compute:
            raise QuantError(
                f"`op_types` must be among {', '.join(target.compute)}; "
                f"got {op_type!r}."
            )
    names = [str(node.name) for node in candidates]
    for pattern in exclude:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise QuantError(
                f"`exclude` must name a {' or '.join(target.compute)} of the model; "
                f"got {pattern!r}: {nearest(pattern, names)}"
            )
