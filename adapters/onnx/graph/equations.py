"""What the equation of an Einsum says of its two operands."""

from dataclasses import dataclass
from itertools import chain

import onnx_ir as ir

from qcore.adapters.onnx.graph.operands import is_standard

_ELLIPSIS = "..."


@dataclass(frozen=True)
class Equation:
    """The axes of two operands and of the result, one letter each.

    Attributes
    ----------
    first, second, result : str
        As they lie in memory.
    """

    first: str
    second: str
    result: str

    @property
    def batch(self) -> str:
        """Axes that all three have."""
        return self._in_result(self.first, self.second)

    @property
    def left(self) -> str:
        """Axes of the result that the first operand alone gives it."""
        return "".join(a for a in self._in_result(self.first) if a not in self.second)

    @property
    def right(self) -> str:
        """Axes of the result that the second operand alone gives it."""
        return "".join(a for a in self._in_result(self.second) if a not in self.first)

    @property
    def summed(self) -> str:
        """Axes of both operands that the result lacks."""
        return "".join(
            a for a in self.first if a in self.second and a not in self.result
        )

    @property
    def swapped(self) -> "Equation":
        """The same with its operands the other way around."""
        return Equation(self.second, self.first, self.result)

    @property
    def is_product(self) -> bool:
        """Whether each axis is one of these four, and none is there twice."""
        names = (self.first, self.second, self.result)
        return all(len(set(name)) == len(name) for name in names) and (
            set(self.first) == {*self.batch, *self.left, *self.summed}
            and set(self.second) == {*self.batch, *self.right, *self.summed}
            and set(self.result) == {*self.batch, *self.left, *self.right}
        )

    def _in_result(self, *operands: str) -> str:
        return "".join(a for a in self.result if all(a in o for o in operands))


def equation_of(node: ir.Node) -> Equation | None:
    """Return what an Einsum multiplies, if it is the product of two tensors."""
    if not is_standard(node, "Einsum") or len(node.inputs) != 2:
        return None
    text = node.attributes["equation"].as_string().replace(" ", "")
    operands, arrow, result = text.partition("->")
    names = operands.split(",")
    if not arrow:  # the axes that are there once, in the order of the alphabet
        found = operands.replace(_ELLIPSIS, "").replace(",", "")
        once = sorted(a for a in found if found.count(a) == 1)
        result = (_ELLIPSIS if _ELLIPSIS in operands else "") + "".join(once)
    ranks = [
        None if value is None or value.shape is None else len(value.shape)
        for value in node.inputs
    ]
    spelled = _spell_out([*names, result], ranks)
    if spelled is None:
        return None
    equation = Equation(*spelled)
    return equation if equation.is_product else None


def _spell_out(names: list[str], ranks: list[int | None]) -> list[str] | None:
    """Return names with a letter for each axis that an ellipsis stands for."""
    if not any(_ELLIPSIS in name for name in names):
        return names
    lengths = [0, 0]
    for place, (name, rank) in enumerate(zip(names[:2], ranks, strict=True)):
        if _ELLIPSIS in name:
            if rank is None:
                return None
            lengths[place] = rank - len(name) + len(_ELLIPSIS)
    used = set(chain(*names))
    letters = [chr(n) for n in range(ord("A"), ord("z")) if chr(n).isalpha()]
    free = "".join(a for a in letters if a not in used)[: max(lengths)]
    lengths.append(max(lengths))
    # The last axes of ellipses go together, as in broadcasting.
    return [
        name.replace(_ELLIPSIS, free[len(free) - length :])
        for name, length in zip(names, lengths, strict=True)
    ]
