"""The passes that a setting asks for, in their order."""

from collections.abc import Iterable, Iterator
from typing import Any

from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.passes.baking import ParameterBakingPass
from qcore.adapters.ppq.passes.base import QuantizationOptimizationPass
from qcore.adapters.ppq.passes.parameters import ParameterQuantizePass
from qcore.adapters.ppq.passes.passive_parameters import PassiveParameterQuantizePass
from qcore.adapters.ppq.passes.runtime_calibration import RuntimeCalibrationPass
from qcore.adapters.ppq.setting import QuantizationSetting


class QuantizationOptimizationPipeline:
    """
    Several passes as one.

    Parameters
    ----------
    passes : iterable of QuantizationOptimizationPass
        In the order they are to be run.
    """

    def __init__(self, passes: Iterable[QuantizationOptimizationPass], /) -> None:
        self.passes = tuple(passes)

    def __iter__(self) -> Iterator[QuantizationOptimizationPass]:
        return iter(self.passes)

    def __len__(self) -> int:
        return len(self.passes)

    def optimize(self, graph: QuantizedGraph, **options: Any) -> None:
        """
        Run the passes on a graph.

        Parameters
        ----------
        graph : QuantizedGraph
            Which is changed.
        **options
            ``dataloader``, ``calib_steps``, ``collate_fn``; each pass takes what it has
            a use for.
        """
        for each in self.passes:
            each.optimize(graph, **options)


def pipeline_of(setting: QuantizationSetting, /) -> QuantizationOptimizationPipeline:
    """
    Return the passes that a setting asks for.

    Raises
    ------
    QuantError
        If it asks for what no pass does.
    """
    setting.check()
    ours = setting.quantize_parameter_setting
    passive = ours.quantize_passive_parameter
    passes: list[QuantizationOptimizationPass] = [
        ParameterQuantizePass(ours.calib_algorithm),
        RuntimeCalibrationPass(setting.quantize_activation_setting.calib_algorithm),
        PassiveParameterQuantizePass(
            process_clip=passive, process_bias=passive, process_pad=passive
        ),
    ]
    if ours.baking_parameter:
        passes.append(ParameterBakingPass())
    return QuantizationOptimizationPipeline(passes)
