"""Choose how the ranges of weights are found."""

from typing import Any

from qcore.adapters.onnx.weights import OUTPUT
from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.passes.base import QuantizationOptimizationPass
from qcore.methods.registry import find_method


class ParameterQuantizePass(QuantizationOptimizationPass):
    """
    Choose the method of weights; `PassiveParameterQuantizePass` gives them scales.

    Parameters
    ----------
    method : str, optional
        Any that decides from a histogram, ``"minmax"``, ``"percentile"``, ``"mse"`` …,
        or ``"output"``, which is qcore's own: the output of the layer changes least. By
        default each weight keeps its own.
    """

    name = "PPQ Parameter Quantization Pass"

    def __init__(self, method: str | None = None) -> None:
        is_own = method is None or method == OUTPUT
        self.method = method if is_own else find_method(str(method)).name

    def optimize(self, graph: QuantizedGraph, **_: Any) -> None:
        """Write the method of weights.

        Parameters
        ----------
        graph : QuantizedGraph
            Whose.
        **_
            What other passes take is not used.
        """
        for config in graph.tensors.values():
            if config.role == "weight" and self.method is not None:
                config.observer_algorithm = self.method
        graph.forget_codes()
