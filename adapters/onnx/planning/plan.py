"""What of a model is to compute in 8 bits, and what stays float and why."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class KeptFloat:
    """An operator that could compute in 8 bits but stays float.

    Attributes
    ----------
    node, op_type : str
        Its name and operator.
    reason : str
        Why, as the end of a sentence about it.
    """

    node: str
    op_type: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op_type} {self.node!r} stays float: {self.reason}."


@dataclass(frozen=True)
class Plan:
    """Where codes take the place of floats; names are those of the prepared model.

    Attributes
    ----------
    compute : tuple of str
        Nodes that multiply codes: their weights are quantized too.
    carriers : tuple of str
        Nodes between these that only pass codes on.
    tensors : mapping
        Each activation to be quantized, in the order of the graph, with the tensors
        whose values give its range. Tensors with the same ones share scale and zero
        point.
    kept_float : tuple of KeptFloat
        Every operator that the target can do so with that is in neither, products
        that it cannot do so with, and what lies between those that do.
    stores : tuple of str
        Nodes that compute on floats, with weights that are stored in codes.
    """

    compute: tuple[str, ...]
    carriers: tuple[str, ...]
    tensors: Mapping[str, tuple[str, ...]]
    kept_float: tuple[KeptFloat, ...]
    stores: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The tensors that must be calibrated, in the order of the graph."""
        return tuple(name for name, sources in self.tensors.items() if name in sources)

    @property
    def first_reason(self) -> str:
        """Why the first node stays float, as the end of a sentence about the model."""
        return f": {self.kept_float[0]}" if self.kept_float else "."
