"""Give the results of a softmax scales under which the likeliest class stays so."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from qcore.adapters.onnx.graph.tensors import tensors_by_name
from qcore.adapters.ppq.details import OBSERVER_ISOTONE_OBSERVER_AXIS
from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.loader import Cycled
from qcore.adapters.ppq.passes.base import QuantizationOptimizationPass
from qcore.adapters.ppq.passes.runtime_calibration import calibrate_activations


class IsotoneCalibrationPass(QuantizationOptimizationPass):
    """
    Calibrate activations by the method ``"isotone"``, whatever they were before.

    Parameters
    ----------
    variables : collection of str, optional
        Their names; by default the results of Softmax that are quantized.
    axis : int, optional
        Along which values are compared: that of the classes; for a sigmoid, that of the
        batch.
    calib_steps : int, optional
        How many samples, 8 to 512.
    """

    name = "PPQ Isotone Calibration Pass"

    def __init__(
        self,
        variables: Collection[str] | None = None,
        axis: int = -1,
        verbose: bool = True,
        calib_steps: int = 32,
    ) -> None:
        self.variables, self.axis = variables, axis
        self.verbose, self.calib_steps = verbose, calib_steps

    def optimize(
        self,
        graph: QuantizedGraph,
        dataloader: Iterable[Any] = (),
        *,
        calib_steps: int | None = None,
        collate_fn: Callable[[Any], Any] | None = None,
        **_: Any,
    ) -> None:
        """
        Write scale and zero point of these activations.

        Parameters
        ----------
        graph : QuantizedGraph
            Which is changed.
        dataloader : iterable
            Samples: arrays by input, in the order of the inputs, or that of the only
            one.
        calib_steps : int, optional
            How many samples; by default as the pass was made.
        collate_fn : callable, optional
            Makes of what the loader gives a sample.
        **_
            What else PPQ gives passes, such as an executor, is not used.

        Raises
        ------
        QuantError
            As by `RuntimeCalibrationPass`, or if a variable is no activation in codes.
        """
        steps = self.calib_steps if calib_steps is None else calib_steps
        samples = Cycled(dataloader, steps, collate_fn)
        graph.replan()
        names = _softmaxes(graph) if self.variables is None else self.variables
        configs = [graph.activation(name).dominated_by for name in names]
        for config in configs:
            config.observer_algorithm = "isotone"
            config.detail[OBSERVER_ISOTONE_OBSERVER_AXIS] = self.axis
        calibrate_activations(graph, configs, samples)


def _softmaxes(graph: QuantizedGraph) -> list[str]:
    """Return the results of Softmax that are quantized."""
    values = tensors_by_name(graph.float_model.graph)
    makers = {name: values[name].producer() for name in graph.plan.tensors}
    return [n for n, node in makers.items() if node and node.op_type == "Softmax"]
