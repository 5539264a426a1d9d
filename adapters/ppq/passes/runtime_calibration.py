"""Give activations their scales, from the values they have on samples."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

from qcore import Histogram
from qcore.adapters.onnx.ranges import activation_qparams
from qcore.adapters.onnx.recipe import Recipe
from qcore.adapters.ppq.collecting import collect
from qcore.adapters.ppq.config import TensorQuantizationConfig
from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.loader import Cycled
from qcore.adapters.ppq.passes.base import QuantizationOptimizationPass
from qcore.adapters.ppq.states import QuantizationStates
from qcore.errors import QuantError
from qcore.methods.registry import find_method


class RuntimeCalibrationPass(QuantizationOptimizationPass):
    """
    Calibrate the activations that are INITIAL; they are ACTIVATED then.

    Must come before `PassiveParameterQuantizePass`. Each sample is run once, whatever
    the method, but once more for each kind of statistics other than histograms.

    Parameters
    ----------
    method : str, optional
        For all activations, one of ``qcore.methods()`` or a name that
        `register_calibration_observer` was given, in any case. By default each has the
        one that it is configured with.
    override : bool, optional
        Whether those that are ACTIVATED are calibrated anew, too.
    calib_steps : int, optional
        How many samples, 8 to 512; the loader starts again until there are so many.

    Raises
    ------
    UnknownMethodError
        If no method has that name; it is a ValueError.
    """

    name = "PPQ Runtime Calibration Pass"

    def __init__(
        self, method: str | None = None, override: bool = False, calib_steps: int = 32
    ) -> None:
        self.method = None if method is None else find_method(method).name
        self.override, self.calib_steps = override, calib_steps

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
        Write scale and zero point of the activations of a graph.

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
            If the samples do not fit the model, their number is not from 8 to 512, or a
            method refuses what was seen; it names the tensor.
        NonFiniteError
            If a tensor holds NaN or infinity; it names tensor and sample.
        """
        steps = self.calib_steps if calib_steps is None else calib_steps
        samples = Cycled(dataloader, steps, collate_fn)
        calibrated = {QuantizationStates.INITIAL}
        if self.override:
            calibrated.add(QuantizationStates.ACTIVATED)
        graph.replan()
        activations = [c for c in graph.tensors.values() if not c.is_parameter]
        if self.method is not None:
            for config in activations:
                config.observer_algorithm = self.method
        calibrate_activations(
            graph, [c for c in activations if c.state in calibrated], samples
        )


def calibrate_activations(
    graph: QuantizedGraph, configs: list[TensorQuantizationConfig], samples: Cycled
) -> None:
    """Write scale and zero point of activations that have one of their own.

    What never had a value, such as a tensor in a body that never ran, is FP32 then.
    """
    wanted = {config.name for config in configs}
    for name in _groups(graph, wanted):
        _check(graph.tensors[name])
    found = collect(graph, _groups(graph, wanted), samples)
    graph.statistics |= found
    for name, group in _groups(graph, wanted).items():
        if found.keys().isdisjoint(group):
            graph.tensors[name].state = QuantizationStates.FP32
    graph.replan()
    groups = _groups(graph, wanted)
    qparams = activation_qparams(
        graph.float_model.graph,
        replace(graph.plan, tensors=groups),
        graph.statistics,
        {group: _recipe(graph.tensors[first]) for first, group in groups.items()},
    )
    graph.forget_codes()
    for name, decided in qparams.items():
        config = graph.tensors[name]
        config.qparams, config.state = decided, QuantizationStates.ACTIVATED


def _groups(
    graph: QuantizedGraph, wanted: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return the tensors that give a range, by the first of them, if that is wanted."""
    groups = graph.plan.tensors.values()
    return {group[0]: group for group in groups if group[0] in wanted}


def _check(config: TensorQuantizationConfig) -> None:
    """Refuse what the method of a tensor does not know, before minutes of calibration.

    Methods that read no histogram are asked when there is something to read.
    """
    if Histogram in find_method(config.observer_algorithm).needs:
        try:
            _recipe(config).check()
        except ValueError as error:
            raise QuantError(f"`detail` of {config.name!r}: {error}") from error


def _recipe(config: TensorQuantizationConfig) -> Recipe:
    assert config.spec is not None
    return Recipe(config.spec, config.observer_algorithm, config.details.method)
