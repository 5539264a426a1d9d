"""How one tensor is quantized, and how far that has come."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from qcore import IntFormat, QParams, QuantSpec
from qcore.adapters.ppq.details import Details, options_in
from qcore.adapters.ppq.states import QuantizationStates, QuantizationVisibility
from qcore.methods.registry import find_method

BIAS_BITS = 32

Role: TypeAlias = Literal["activation", "weight", "bias", "clip", "pad"]


class BiasQParams(NamedTuple):
    """Scales and zero points of 32-bit codes, for which qcore has no format.

    Attributes
    ----------
    scale, zero_point : array
        float32 and int32, ``[C]`` or 0-d.
    """

    scale: np.ndarray
    zero_point: np.ndarray


@dataclass(eq=False)
class TensorQuantizationConfig:
    """
    How a tensor is quantized: what PPQ calls TQC. Its attributes may be set.

    Attributes
    ----------
    name : str
        The tensor.
    state : QuantizationStates
        How far its quantization has come.
    spec : QuantSpec or None
        Which codes it gets; None for a bias, whose codes have 32 bits.
    qparams : QParams, BiasQParams or None
        Scale and zero point, float32 and int32: 0-d, or with an entry for each channel
        in the rank of the tensor. None until they are known, and where they are those
        of `dominated_by`. A bias that several nodes add has those of the first.
    observer_algorithm : str
        The method, one of ``qcore.methods()``.
    detail : dict
        What is asked of the method, by the keys that PPQ has for it, such as
        ``OBSERVER_PERCENTILE_MANUL_OVERRIDE``.
    role : {"activation", "weight", "bias", "clip", "pad"}
        What it is in the model; the last two are bounds of a Clip, and what a Pad fills
        with.
    visibility : QuantizationVisibility
        Whether files tell of it.
    """

    name: str
    state: QuantizationStates
    spec: QuantSpec | None = None
    observer_algorithm: str = "percentile"
    qparams: QParams | BiasQParams | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    role: Role = "activation"
    visibility: QuantizationVisibility = QuantizationVisibility.EXPORT_WHEN_ACTIVE
    master: "TensorQuantizationConfig | None" = field(default=None, repr=False)

    @property
    def is_parameter(self) -> bool:
        """Whether it is a constant of the model."""
        return self.role != "activation"

    @property
    def dominated_by(self) -> "TensorQuantizationConfig":
        """The tensor whose scale this one has; itself, if that is its own."""
        return self if self.master is None else self.master.dominated_by

    @property
    def scale(self) -> np.ndarray | None:
        """What codes are multiplied by, float32, if it is known."""
        found = self.dominated_by.qparams
        return None if found is None else np.asarray(found.scale)

    @property
    def offset(self) -> np.ndarray | None:
        """The code of zero, int32, if it is known."""
        found = self.dominated_by.qparams
        return None if found is None else np.asarray(found.zero_point)

    @property
    def is_symmetrical(self) -> bool:
        """Whether the code of zero is 0."""
        return self.spec is None or self.spec.symmetric

    @property
    def num_of_bits(self) -> int:
        """Bits of a code."""
        return BIAS_BITS if self.spec is None else int(self.spec.format.bits)

    @property
    def quant_min(self) -> float:
        """The lowest code, or number of a float format."""
        if self.spec is None:
            return -(2.0 ** (BIAS_BITS - 1))
        fmt = self.spec.format
        return fmt.qmin if isinstance(fmt, IntFormat) else -fmt.max

    @property
    def quant_max(self) -> float:
        """The highest code, or number of a float format."""
        return 2.0 ** (BIAS_BITS - 1) - 1 if self.spec is None else self.spec.format.max

    @property
    def details(self) -> Details:
        """What `detail` asks of the method and of its statistics."""
        return options_in(self.detail, find_method(self.observer_algorithm).name)
