"""Refuse graphs in which a node waits for itself."""

from collections.abc import Iterable, Iterator, Mapping

import onnx

from qcore.adapters.onnx.files.messages import bodies, shown
from qcore.errors import QuantError


def check_order(
    nodes: Iterable[onnx.NodeProto], makers: Mapping[str, onnx.NodeProto], /
) -> None:
    """Raise QuantError if a node waits for what waits for it.

    Parameters
    ----------
    nodes : iterable of NodeProto
        Of a graph, in any order.
    makers : mapping
        By name, which of them makes it.
    """
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
            f"the model's graph must have no cycle; {shown(first)} lies on one or "
            "behind it."
        )


def _read(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, in its bodies too, of what is outside."""
    yield from node.input
    for attribute in node.attribute:
        for body in bodies(attribute):
            own = {value.name for value in body.input}
            own.update(tensor.name for tensor in body.initializer)
            own.update(name for inner in body.node for name in inner.output)
            ends = (value.name for value in body.output)
            inside = (name for inner in body.node for name in _read(inner))
            yield from (name for name in (*ends, *inside) if name not in own)
