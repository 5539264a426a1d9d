"""Give parameters their scales and codes, once those of activations are known."""

from typing import Any

from qcore.adapters.ppq.coding import write_codes
from qcore.adapters.ppq.config import TensorQuantizationConfig
from qcore.adapters.ppq.errors import PassOrderError
from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.passes.base import QuantizationOptimizationPass
from qcore.adapters.ppq.states import QuantizationStates, QuantizationVisibility
from qcore.errors import QuantError


class PassiveParameterQuantizePass(QuantizationOptimizationPass):
    """
    Put weights, and biases where the platform has codes for them, in codes.

    A bias has scale ``input scale * weight scale`` and zero point 0, in 32 bits. Scales
    of weights leave it room there, which is why they are given with it and not before.
    The bounds of a Clip and what a Pad fills with have the scale of the input in the
    table; files hold them as the floats they were. Where a Clip merges with what is
    before it this makes no difference, since rounding keeps order.

    Must come after `RuntimeCalibrationPass`.

    Parameters
    ----------
    process_clip, process_bias, process_pad : bool, optional
        Whether these are given scales; they are FP32 else.
    clip_visiblity, pad_visiblity : QuantizationVisibility, optional
        INTERNAL. (The spelling is PPQ's.)

    Raises
    ------
    QuantError
        If they are to be visible: ONNX has no bounds in codes.
    """

    name = "PPQ Passive Parameter Quantization"

    def __init__(
        self,
        process_clip: bool = True,
        process_bias: bool = True,
        process_pad: bool = True,
        clip_visiblity: QuantizationVisibility = QuantizationVisibility.INTERNAL,
        pad_visiblity: QuantizationVisibility = QuantizationVisibility.INTERNAL,
    ) -> None:
        given = {"clip_visiblity": clip_visiblity, "pad_visiblity": pad_visiblity}
        for argument, wanted in given.items():
            if wanted is not QuantizationVisibility.INTERNAL:
                raise QuantError(
                    f"`{argument}` must be INTERNAL: files hold the bounds of codes as "
                    f"floats; got {wanted!r}."
                )
        self.process_clip, self.process_bias = process_clip, process_bias
        self.process_pad = process_pad

    def optimize(self, graph: QuantizedGraph, **_: Any) -> None:
        """
        Decide the scales of the parameters of a graph, and write its model.

        Parameters
        ----------
        graph : QuantizedGraph
            All activations of which have scales.
        **_
            What other passes take is not used.

        Raises
        ------
        PassOrderError
            If an activation has none, naming the first; it is a PermissionError.
        QuantError
            If a parameter cannot have the spec, method or detail it was given.
        """
        graph.replan()
        _check_order(graph)
        graph.forget_codes()
        for config in graph.tensors.values():
            if config.state is QuantizationStates.PASSIVE_INIT:
                config.state = self._state_of(config)
        write_codes(graph)
        for config in graph.tensors.values():
            if config.state is QuantizationStates.INITIAL:
                config.state = QuantizationStates.ACTIVATED

    def _state_of(self, config: TensorQuantizationConfig) -> QuantizationStates:
        """Return what becomes of a parameter that gets the scale of others."""
        is_processed = {
            "bias": self.process_bias,
            "clip": self.process_clip,
            "pad": self.process_pad,
        }
        if not is_processed[config.role]:
            return QuantizationStates.FP32
        if config.role != "bias":
            config.visibility = QuantizationVisibility.INTERNAL
        return QuantizationStates.PASSIVE


def _check_order(graph: QuantizedGraph) -> None:
    for config in graph.tensors.values():
        is_float = config.state is QuantizationStates.FP32 or config.is_parameter
        if not is_float and config.dominated_by.qparams is None:
            raise PassOrderError(
                "RuntimeCalibrationPass must come before PassiveParameterQuantizePass; "
                f"{config.name!r} is {config.state.name} and has no scale."
            )
