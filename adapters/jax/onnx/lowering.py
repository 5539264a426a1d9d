"""From primitives of JAX to nodes of ONNX: the table, filled by concept."""

from collections.abc import Callable
from typing import Any, TypeAlias

from qcore.errors import QuantError

Lowering: TypeAlias = Callable[..., Any]
"""Takes the builder, the equation and its operands, and gives its one result or all."""

LOWERINGS: dict[str, Lowering] = {}
"""By primitive."""


class UnsupportedError(QuantError):
    """ONNX cannot say what an equation does; the message is the end of a sentence."""


def lowers(*primitives: str) -> Callable[[Lowering], Lowering]:
    """Enter a function as that of primitives."""

    def enter(lowering: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(primitives, lowering))
        return lowering

    return enter


def output_of(equation: Any, /) -> Any:
    """Return shape and dtype of the one result of an equation."""
    return equation.outvars[0].aval
