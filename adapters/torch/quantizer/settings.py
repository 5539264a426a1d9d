"""What a quantizer is told: format, stages and how it is printed."""

import logging
from typing import Any

import torch

from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.adapters.torch.quantizer.ranges import RangeHolder
from qcore.adapters.torch.quantizer.stages import Stages
from qcore.spec import QuantSpec

_log = logging.getLogger(__name__)


class QuantizerSettings(RangeHolder):
    """A descriptor, what of it may change, and which stages are on."""

    _calibrator: Any

    def __init__(
        self, desc: ScaledQuantDescriptor, *, disabled: bool, if_quant: bool
    ) -> None:
        super().__init__()
        self._desc = desc
        self._num_bits = desc.num_bits
        self._unsigned = desc.unsigned
        self._narrow_range = desc.narrow_range
        self._scale_amax = desc.scale_amax
        self._disabled = disabled
        self._if_quant = if_quant
        self._if_clip = False
        self._if_calib = False
        self._scale: torch.Tensor | None = None

    @property
    def spec(self) -> QuantSpec:
        """How data is quantized; the granularity is what calibration keeps."""
        return self._desc.spec(
            num_bits=self._num_bits,
            unsigned=self._unsigned,
            narrow_range=self._narrow_range,
        )

    @property
    def descriptor(self) -> ScaledQuantDescriptor:
        """What the quantizer was made from."""
        return self._desc

    @property
    def calibrator(self) -> Any:
        """What collects statistics; None if the range is that of each tensor."""
        return self._calibrator

    def drop_calibrator(self) -> None:
        """Take the range of each tensor from now on, unless one is held."""
        self._calibrator = None

    @property
    def stages(self) -> Stages:
        """Which stages are on; may be set, all at once and unchecked."""
        return Stages(
            is_enabled=not self._disabled,
            calibrates=self._if_calib,
            clips=self._if_clip,
            quantizes=self._if_quant,
        )

    @stages.setter
    def stages(self, value: Stages) -> None:
        self._disabled = not value.is_enabled
        self._if_calib = value.calibrates
        self._if_clip = value.clips
        self._if_quant = value.quantizes

    @property
    def is_enabled(self) -> bool:
        """Whether it does what the stages say; data passes otherwise."""
        return not self._disabled

    @property
    def scale_amax(self) -> float | None:
        """What multiplies amax, if something does."""
        return self._scale_amax

    @property
    def num_bits(self) -> Any:
        """Width of the integers, or (4, 3)."""
        return self._num_bits

    @num_bits.setter
    def num_bits(self, value: Any) -> None:
        bits = ScaledQuantDescriptor(num_bits=value).num_bits
        if bits != 0:
            self._desc.spec(num_bits=bits)  # raises if there is no such format
        self._num_bits = bits
        self._range_means_another()

    @property
    def unsigned(self) -> bool:
        """Whether codes are not negative."""
        return self._unsigned

    @unsigned.setter
    def unsigned(self, value: bool) -> None:
        self._unsigned = bool(value)
        self._range_means_another()

    @property
    def narrow_range(self) -> bool:
        """Whether the lowest integer is left out."""
        return self._narrow_range

    @narrow_range.setter
    def narrow_range(self, value: bool) -> None:
        self._narrow_range = bool(value)
        self._range_means_another()

    def _range_means_another(self) -> None:
        """Follow a change of the format."""
        if self._num_bits == 0:
            return
        if self._calibrator is not None:
            self._calibrator.spec = self.spec
        if self.has_range():
            self._refresh()

    @property
    def axis(self) -> Any:
        """The axes that are kept."""
        return self._desc.axis

    @property
    def fake_quant(self) -> bool:
        """Whether data is dequantized again."""
        return self._desc.fake_quant

    @property
    def maxbound(self) -> float:
        """The code that amax has, of integers; the largest number of a float format."""
        return float(self.spec.format.max)

    @property
    def scale(self) -> torch.Tensor | None:
        """What the last data was multiplied by, where codes are returned."""
        if self.fake_quant:
            _log.error("Fake quantize mode doesn't use scale explicitly!")
        return self._scale

    @property
    def step_size(self) -> torch.Tensor | None:
        """The number one step of the codes stands for; None without amax."""
        if self.amax is None:
            _log.error("step_size is undefined under dynamic amax mode!")
            return None
        return self.amax / self.maxbound

    def disable(self) -> None:
        """Let tensors pass."""
        self._disabled = True

    def enable(self) -> None:
        """Do what the stages say."""
        self._disabled = False

    def enable_quant(self) -> None:
        """Quantize."""
        self._if_quant = True

    def disable_quant(self) -> None:
        """Do not quantize."""
        self._if_quant = False

    def enable_clip(self) -> None:
        """
        Clip to the learned range.

        Raises
        ------
        ValueError
            If no range is learned.
        """
        if not self._desc.learn_amax:
            raise ValueError("`learn_amax` must be true of a quantizer that clips.")
        self._if_clip = True

    def disable_clip(self) -> None:
        """Do not clip."""
        self._if_clip = False

    def enable_calib(self) -> None:
        """
        Collect statistics.

        Raises
        ------
        ValueError
            If there is no calibrator.
        """
        if self._calibrator is None:
            raise ValueError("Calibrator was not created, cannot enable calibration.")
        self._if_calib = True

    def disable_calib(self) -> None:
        """Do not collect statistics."""
        self._if_calib = False

    def is_learned(self) -> bool:
        """Whether the range or the scale is a parameter."""
        return self._desc.learn_amax or "learned_scale" in self._parameters

    def extra_repr(self) -> str:
        """Return bits, granularity, amax, calibrator and stages, as there."""
        if self._disabled:
            return "disabled"
        parts = [
            f"{'unsigned ' if self._unsigned else ''}{self._width()}",
            "narrow" if self._narrow_range else "",
            "fake" if self.fake_quant else "",
            _axes(self._desc),
            f"amax={self._short_amax()}",
            f"*{self._scale_amax}" if self._scale_amax else "",
            "asymmetric" if not self._desc.symmetric else "",
            "learned" if self.is_learned() else "",
            f"calibrator={self._calibrator}" if self._calibrator is not None else "",
            "quant" if self._if_quant else "",
            "clip" if self._if_clip else "",
            "calib" if self._if_calib else "",
        ]
        return " ".join(part for part in parts if part)

    def _width(self) -> str:
        if self._desc.format is not None:
            return self._desc.format
        if isinstance(self._num_bits, tuple):
            return f"{self.spec.format.name}"
        return f"{self._num_bits}bit"

    def _short_amax(self) -> str:
        """Return amax, or the least and the largest of several."""
        amax = self.amax
        if amax is None:
            return "dynamic"
        if amax.numel() == 1:
            return f"{float(amax):.4f}"
        return f"[{float(amax.min()):.4f}, {float(amax.max()):.4f}]({amax.numel()})"


def _axes(desc: ScaledQuantDescriptor) -> str:
    """Return which elements share a scale."""
    if desc.block_sizes is not None:
        return f"block_sizes={dict(desc.block_sizes)}"
    if desc.axis is None:
        return "per-tensor"
    return f"axis=({desc.axis})" if isinstance(desc.axis, int) else f"axis={desc.axis}"
