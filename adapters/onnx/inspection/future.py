"""What would become of a float model for a runtime, and what would not and why."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from qcore.adapters.onnx.files.model_file import Source
from qcore.adapters.onnx.planning.plan import KeptFloat
from qcore.adapters.onnx.planning.planning import plan
from qcore.adapters.onnx.prepare import prepare


@dataclass(frozen=True)
class Future:
    """A float model.

    Attributes
    ----------
    target : str
        The runtime.
    compute : tuple of str
        Nodes that would compute in int8.
    carriers : tuple of str
        Nodes that would pass codes on.
    stores : tuple of str
        Nodes that would compute on floats, with weights that are stored in codes.
    kept_float : tuple of KeptFloat
        Nodes that the runtime has in int8 but that would stay float.
    other_operators : mapping
        How many there are of each other, of which onnxruntime computes none in int8.
        Other runtimes may do so by themselves, between those that do.
    """

    target: str
    compute: tuple[str, ...]
    carriers: tuple[str, ...]
    stores: tuple[str, ...]
    kept_float: tuple[KeptFloat, ...]
    other_operators: Mapping[str, int]


def future(model: Source, target: str) -> Future:
    """Return what `qcore quantize` would do."""
    planned = plan(model, target=target)
    left = {node.node for node in planned.kept_float}
    told = {*planned.compute, *planned.carriers, *planned.stores, *left}
    nodes = prepare(model).graph.all_nodes()
    others = Counter(node.op_type for node in nodes if node.name not in told)
    return Future(
        target,
        planned.compute,
        planned.carriers,
        planned.stores,
        planned.kept_float,
        dict(others),
    )
