"""New names that say what they name and that nothing else in the graph has."""

from itertools import chain, count

import onnx_ir as ir


class Names:
    """The names in use in a graph and its subgraphs, by values and by nodes."""

    def __init__(self, graph: ir.Graph) -> None:
        self._used: set[str | None] = set()
        for part in (graph, *graph.subgraphs()):
            self._used.update(part.initializers)
            self._used.update(value.name for value in part.inputs)
        for node in graph.all_nodes():
            self._used.add(node.name)
            self._used.update(value.name for value in node.outputs)

    def fresh(self, name: str) -> str:
        """Return `name`, numbered if it is in use; it is in use from now on."""
        candidates = chain([name], (f"{name}_{number}" for number in count(1)))
        free = next(
            candidate for candidate in candidates if candidate not in self._used
        )
        self._used.add(free)
        return free
