"""Which nodes the user wants in codes, by name, operator or pattern."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import is_standard, written_as
from qcore.adapters.onnx.targets import Target
from qcore.errors import QuantError, nearest


@dataclass(frozen=True)
class Selection:
    """What was asked for.

    Attributes
    ----------
    op_types : collection of str or None
        Which of the operators that multiply codes may do so; ``None`` is all.
    include, exclude : collection of str
        Names of nodes or operators; ``*`` and ``?`` stand for any characters. With
        `include`, products that it does not name stay float. Nothing in `exclude`
        computes on codes or passes them on.
    """

    op_types: Collection[str] | None = None
    include: Collection[str] = ()
    exclude: Collection[str] = ()

    def __post_init__(self) -> None:
        """Refuse what is no list of names.

        Nor is a single string, whose letters would be taken for names, or an iterator,
        which is empty after it was read once.
        """
        for name in ("op_types", "include", "exclude"):
            given = getattr(self, name)
            if not (_are_names(given) or (given is None and name == "op_types")):
                raise TypeError(f"`{name}` must be a list of names; got {given!r}.")

    def why_float(self, product: ir.Node) -> str | None:
        """Return why a product is to stay float, or ``None``."""
        if self.op_types is not None and written_as(product) not in self.op_types:
            return "its operator was not chosen"
        if self.include and not _matches(product, self.include):
            return "it is not included"
        return "it is excluded" if self.excludes(product) else None

    def excludes(self, node: ir.Node) -> bool:
        """Return whether a node is to stay float."""
        return _matches(node, self.exclude)

    def check(self, graph: ir.Graph, target: Target) -> None:
        """Raise QuantError where an operator or pattern is none of the model's."""
        for op_type in self.op_types or ():
            if op_type not in target.operators:
                raise QuantError(
                    f"`op_types` must be among {', '.join(target.operators)}; "
                    f"got {op_type!r}."
                )
        nodes = list(graph.all_nodes())
        products = [node for node in nodes if is_standard(node, *target.operators)]
        kind = " or ".join(target.operators)
        _check_patterns("include", self.include, products, kind)
        _check_patterns("exclude", self.exclude, nodes, "node")


def _are_names(given: object) -> bool:
    if isinstance(given, str) or not isinstance(given, Collection):
        return False
    return all(isinstance(name, str) for name in given)


def matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Return whether a name is one of these, or fits one that has ``*`` or ``?``."""
    # A name may hold brackets, which mean something else in a pattern.
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def _matches(node: ir.Node, patterns: Collection[str]) -> bool:
    return any(matches_any(name, patterns) for name in _names(node))


def _names(node: ir.Node) -> tuple[str, str]:
    return str(node.name), written_as(node)


def _check_patterns(
    argument: str, patterns: Collection[str], nodes: list[ir.Node], kind: str
) -> None:
    for pattern in patterns:
        if not any(_matches(node, [pattern]) for node in nodes):
            known = dict.fromkeys(name for node in nodes for name in _names(node))
            raise QuantError(
                f"`{argument}` must name a {kind} of the model; "
                f"got {pattern!r}: {nearest(pattern, known)}"
            )
