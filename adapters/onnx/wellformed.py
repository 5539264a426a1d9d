"""Refuse files that are no models before anything is made of what they claim.

Only what would otherwise fail without saying so, or make others allocate what a file
does not hold: oddities that runtimes take, such as nodes in any order, are no concern
here.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from math import prod
from typing import Any, ParamSpec, TypeVar

import onnx
import onnx_ir as ir

from qcore.errors import QuantError

Taken = ParamSpec("Taken")
Prepared = TypeVar("Prepared")


def refuse_malformed(model: onnx.ModelProto, /) -> None:
    """
    Raise where tensors hold not what they claim, or nodes read what nothing makes.

    Raises
    ------
    QuantError
        It names the first tensor or node.
    """
    _check_graph(model.graph, frozenset())
    for function in model.functions:
        _check_nodes(function.node, function.output, frozenset(function.input))


def blames_the_model(
    prepare: Callable[Taken, Prepared],
) -> Callable[Taken, Prepared]:
    """
    Return a function of a model that fails with a sentence where that is invalid.

    Whether it is, onnx's checker tells, and whether it can be written again: asked only
    once something has failed, since there are models that work and do not please them.
    What they find no fault with deserves its traceback.
    """

    @wraps(prepare)
    def blaming(*given: Taken.args, **options: Taken.kwargs) -> Prepared:
        try:
            return prepare(*given, **options)
        except QuantError:
            raise
        except Exception as error:
            if fault := _fault(given[0]):
                raise QuantError(
                    f"`model` must be a valid ONNX model; it is not: {fault}"
                ) from error
            raise

    return blaming


def tensor_bytes(tensor: onnx.TensorProto, /) -> int:
    """
    Return how many bytes the elements of a tensor take.

    Raises
    ------
    QuantError
        If it has no known type or an extent is negative.
    """
    try:
        bits = ir.DataType(tensor.data_type).bitwidth
    except (TypeError, ValueError) as error:  # undefined, of strings, or no type at all
        raise QuantError(
            f"tensor {tensor.name!r} of the model must be of numbers; its type is "
            f"{tensor.data_type}."
        ) from error
    if min(tensor.dims, default=0) < 0:
        raise QuantError(
            f"tensor {tensor.name!r} of the model must have extents of at least 0; got "
            f"{list(tensor.dims)}."
        )
    return (prod(tensor.dims) * bits + 7) // 8


def tensors(model: onnx.ModelProto, /) -> Iterator[onnx.TensorProto]:
    """Yield all constants of a model, those in bodies and functions too."""
    yield from _tensors(model.graph)
    for function in model.functions:
        yield from _constants(function.node)


def _fault(model: Any) -> str | None:
    """Return what is wrong with a model, if anything."""
    is_path = not isinstance(model, onnx.ModelProto)
    try:
        onnx.checker.check_model(str(model) if is_path else model, full_check=True)
        graph_only = onnx.load(model, load_external_data=False) if is_path else model
        ir.to_proto(ir.from_proto(graph_only))
    except Exception as error:  # those of bound C++ have no common base
        return str(root(error))
    return None


def root(error: BaseException, /) -> BaseException:
    """Return what an error was first; onnx_ir tells where it was, layer after layer."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _constants(graph.node)


def _constants(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for body in _bodies(attribute):
                yield from _tensors(body)


def _bodies(attribute: onnx.AttributeProto) -> list[onnx.GraphProto]:
    own = [attribute.g] if attribute.HasField("g") else []
    return [*own, *attribute.graphs]


def _check_graph(graph: onnx.GraphProto, outer: frozenset[str]) -> None:
    for tensor in graph.initializer:
        _check_name(tensor.name, "the name of an initializer")
        _check_content(tensor)
    known = {value.name for value in graph.input}
    known.update(tensor.name for tensor in graph.initializer)
    known.update(sparse.values.name for sparse in graph.sparse_initializer)
    ends = [value.name for value in graph.output]
    _check_nodes(graph.node, ends, outer.union(known))


def _check_nodes(
    nodes: Iterable[onnx.NodeProto], ends: Iterable[str], given: frozenset[str]
) -> None:
    """Raise unless nodes make what they and the outputs read, each thing once."""
    makers: dict[str, onnx.NodeProto] = {}
    for node in nodes:
        for kind in ("op_type", "domain", "name"):
            _check_name(getattr(node, kind), f"the {kind} of a node")
        for name in filter(None, node.output):
            if name in makers or name in given:
                raise QuantError(
                    f"{name!r} must be made once; {_shown(node)} does, too."
                )
            makers[name] = node
    known = given.union(makers)
    for name in ends:
        if name not in known:
            raise QuantError(
                f"the model's graph gives {name!r}, which nothing in it makes."
            )
    for node in nodes:
        for name in node.input:
            if name and name not in known:
                raise QuantError(f"{_shown(node)} reads {name!r}, which nothing makes.")
        for attribute in node.attribute:
            _check_name(attribute.name, f"the name of an attribute of {_shown(node)}")
            if attribute.HasField("t"):
                _check_content(attribute.t)
            for body in _bodies(attribute):
                _check_graph(body, known)
    _check_order(nodes, makers)


def _check_order(
    nodes: Iterable[onnx.NodeProto], makers: dict[str, onnx.NodeProto]
) -> None:
    """Raise if a node waits for what waits for it."""
    left = {id(node): node for node in nodes}
    waiting = {
        id(node): {id(makers[name]) for name in _read(node) if name in makers}
        for node in nodes
    }
    readers: dict[int, list[int]] = {key: [] for key in left}
    for reader, sources in waiting.items():
        for source in sources:
            readers[source].append(reader)
    ready = [key for key, sources in waiting.items() if not sources]
    while ready:
        done = ready.pop()
        del left[done]
        for reader in readers[done]:
            waiting[reader].discard(done)
            if not waiting[reader]:
                ready.append(reader)
    if left:
        first = next(iter(left.values()))
        raise QuantError(
            f"the model's graph must have no cycle; {_shown(first)} lies on one or "
            "behind it."
        )


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, in its bodies too, of what is outside."""
    yield from node.input
    for attribute in node.attribute:
        for body in _bodies(attribute):
            own = {value.name for value in body.input}
            own.update(tensor.name for tensor in body.initializer)
            own.update(name for inner in body.node for name in inner.output)
            ends = (value.name for value in body.output)
            inside = (name for inner in body.node for name in _read(inner))
            yield from (name for name in (*ends, *inside) if name not in own)


def _check_name(name: object, what: str) -> None:
    # What is no UTF-8 protobuf gives as bytes, which no writer of models takes.
    if not isinstance(name, str):
        raise QuantError(f"{what} of the model must be text; got {name!r}.")


def _check_content(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == onnx.TensorProto.STRING:
        needed, held, unit = prod(tensor.dims), len(tensor.string_data), "strings"
    elif tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    else:
        needed, held, unit = tensor_bytes(tensor), len(tensor.raw_data), "bytes"
        if not tensor.HasField("raw_data"):
            needed, held, unit = _numbers(tensor, needed)
    if held != needed:
        raise QuantError(
            f"tensor {tensor.name!r} of the model must hold {needed} {unit} for its "
            f"shape {list(tensor.dims)}; it holds {held}."
        )


def _numbers(tensor: onnx.TensorProto, size: int) -> tuple[int, int, str]:
    """Return how many numbers a tensor must hold that lists them, and does."""
    kind = ir.DataType(tensor.data_type)
    held = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type)))
    if kind in {ir.DataType.COMPLEX64, ir.DataType.COMPLEX128}:
        return 2 * prod(tensor.dims), held, "numbers"
    # Several of less than 8 bits are packed into one.
    return (size if kind.bitwidth < 8 else prod(tensor.dims)), held, "numbers"


def _shown(node: onnx.NodeProto) -> str:
    return f"{node.op_type} {node.name!r}"
