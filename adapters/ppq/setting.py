"""What a quantization does, by the names that PPQ has for it."""

from dataclasses import dataclass, field

from qcore.adapters.ppq.platforms import STAYS_FLOAT, TargetPlatform
from qcore.errors import QuantError


@dataclass(slots=True)
class ActivationQuantizationSetting:
    """How activations are quantized.

    Attributes
    ----------
    calib_algorithm : str or None
        Their method, as of `RuntimeCalibrationPass`.
    """

    calib_algorithm: str | None = "percentile"


@dataclass(slots=True)
class ParameterQuantizationSetting:
    """How parameters are quantized.

    Attributes
    ----------
    calib_algorithm : str or None
        The method of weights, as of `ParameterQuantizePass`.
    quantize_passive_parameter : bool
        Whether biases get codes, and bounds scales.
    baking_parameter : bool
        Whether the states say that weights and biases are held in codes.
    """

    calib_algorithm: str | None = "minmax"
    quantize_passive_parameter: bool = True
    baking_parameter: bool = True


@dataclass(frozen=True, slots=True)
class Dispatching:
    """Where an operation is to run."""

    operation: str
    platform: TargetPlatform


@dataclass(slots=True)
class DispatchingTable:
    """Which operations stay float.

    Attributes
    ----------
    dispatchings : list of Dispatching
        In the order they were given.
    """

    dispatchings: list[Dispatching] = field(default_factory=list)

    def append(self, operation: str, platform: TargetPlatform | int) -> None:
        """
        Have an operation stay float.

        Parameters
        ----------
        operation : str
            Its name; ``*`` and ``?`` stand for any characters.
        platform : TargetPlatform or int
            ``FP32``, or another that has no codes.

        Raises
        ------
        QuantError
            If it has codes: a graph has one platform with codes.
        """
        wanted = TargetPlatform(platform)
        if wanted not in STAYS_FLOAT:
            raise QuantError(
                f"`platform` of {operation!r} must be FP32 or another without codes, "
                f"since a graph has one with codes; got {wanted.name}."
            )
        self.dispatchings.append(Dispatching(operation, wanted))


@dataclass(slots=True)
class QuantizationSetting:
    """
    What `quantize_onnx_model` and `quantize_torch_model` do; its attributes may be set.

    Attributes
    ----------
    quantize_activation, quantize_parameter : bool
        Both must be true: products are of codes of both.
    quantize_activation_setting : ActivationQuantizationSetting
        How activations are quantized.
    quantize_parameter_setting : ParameterQuantizationSetting
        How parameters are.
    dispatching_table : DispatchingTable
        What stays float.
    advanced_optimization, bias_correct, blockwise_reconstruction, channel_split, \
equalization, lsq_optimization, ssd_equalization, weight_split : bool
        Must be false: `qcore.adapters.onnx.quantize` has other means to the same end.
    """

    quantize_activation: bool = True
    quantize_activation_setting: ActivationQuantizationSetting = field(
        default_factory=ActivationQuantizationSetting
    )
    quantize_parameter: bool = True
    quantize_parameter_setting: ParameterQuantizationSetting = field(
        default_factory=ParameterQuantizationSetting
    )
    dispatching_table: DispatchingTable = field(default_factory=DispatchingTable)
    advanced_optimization: bool = False
    bias_correct: bool = False
    blockwise_reconstruction: bool = False
    channel_split: bool = False
    equalization: bool = False
    lsq_optimization: bool = False
    ssd_equalization: bool = False
    weight_split: bool = False

    def check(self) -> None:
        """Refuse what passes of PPQ do and those of qcore do not.

        Raises
        ------
        QuantError
            Naming the first, and what does it instead.
        """
        for name in ("quantize_activation", "quantize_parameter"):
            if not getattr(self, name):
                raise QuantError(
                    f"`{name}` must be true: products are of codes of both; "
                    "qcore.adapters.onnx.quantize(activation='float') has those of "
                    "weights alone."
                )
        for name, instead in _INSTEAD.items():
            if getattr(self, name):
                raise QuantError(
                    f"`{name}` must be false; what does it is "
                    f"qcore.adapters.onnx.quantize({instead})."
                )


_INSTEAD = {
    "advanced_optimization": "recover='gptq'",
    "bias_correct": "recover='bias'",
    "blockwise_reconstruction": "recover='gptq'",
    "channel_split": "recover='full'",
    "equalization": "smooth=True",
    "lsq_optimization": "recover='full'",
    "ssd_equalization": "smooth=True",
    "weight_split": "recover='full'",
}


class QuantizationSettingFactory:
    """Gives settings; platforms differ in their rules, not in these."""

    @staticmethod
    def default_setting() -> QuantizationSetting:
        """Return the settings that serve every platform."""
        return QuantizationSetting()

    @staticmethod
    def pplcuda_setting() -> QuantizationSetting:
        """Return those for `TargetPlatform.PPL_CUDA_INT8`."""
        return QuantizationSetting()

    @staticmethod
    def trt_setting() -> QuantizationSetting:
        """Return those for `TargetPlatform.TRT_INT8`."""
        return QuantizationSetting()
