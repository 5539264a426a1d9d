"""Say of parameters that they are held in codes."""

from typing import Any

from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.passes.base import QuantizationOptimizationPass
from qcore.adapters.ppq.states import QuantizationStates

_BAKED = {
    QuantizationStates.ACTIVATED: QuantizationStates.BAKED,
    QuantizationStates.PASSIVE: QuantizationStates.PASSIVE_BAKED,
}


class ParameterBakingPass(QuantizationOptimizationPass):
    """Have weights be BAKED and biases PASSIVE_BAKED: they are held in codes.

    They always are in a model that qcore writes, once `PassiveParameterQuantizePass`
    has run; here their states say so.
    """

    name = "PPQ Parameter Baking Pass"

    def optimize(self, graph: QuantizedGraph, **_: Any) -> None:
        """Write the states.

        Parameters
        ----------
        graph : QuantizedGraph
            Whose.
        **_
            What other passes take is not used.

        Raises
        ------
        PassOrderError
            If the parameters have no codes yet.
        """
        assert graph.model is not None  # which raises
        for config in graph.tensors.values():
            if config.role in {"weight", "bias"}:
                config.state = _BAKED.get(config.state, config.state)
