"""What all passes have: a name, and `optimize`."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from qcore.adapters.ppq.graph import QuantizedGraph


class QuantizationOptimizationPass(ABC):
    """A step on the way of a model to codes, taken by `optimize`.

    Attributes
    ----------
    name : str
        What it is called.
    """

    name: ClassVar[str]

    @abstractmethod
    def optimize(self, graph: QuantizedGraph, **options: Any) -> None:
        """
        Change what is known of the tensors of a graph.

        Parameters
        ----------
        graph : QuantizedGraph
            Which is changed.
        **options
            ``dataloader``, ``calib_steps``, ``collate_fn`` for passes that run the
            model. Each passes over what it has no use for, as in PPQ.
        """
