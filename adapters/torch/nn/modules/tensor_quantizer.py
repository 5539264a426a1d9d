"""The module that quantizes a tensor, and calibrates itself."""

import logging
from typing import Any, ClassVar

import torch
from torch import nn

from qcore.adapters.torch.calib import HistogramCalibrator, MaxCalibrator
from qcore.adapters.torch.given_data import check_tensor
from qcore.adapters.torch.nn.modules.clip import Clip
from qcore.adapters.torch.onnx.operators import is_exporting, quantize_dequantize
from qcore.adapters.torch.operators.fake_quantize import fake_quantize, quantize
from qcore.adapters.torch.operators.scales import range_of
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.adapters.torch.quantizer.learned_scale import scale_of
from qcore.adapters.torch.quantizer.settings import QuantizerSettings
from qcore.spec import QParams

_log = logging.getLogger(__name__)


_OWN = (MaxCalibrator.compute_amax, HistogramCalibrator.compute_amax)
"""How our calibrators choose amax, of whom both ends of a range can be asked."""


class TensorQuantizer(QuantizerSettings):
    """Quantizes what passes through it.

    Data is multiplied by `pre_quant_scale`, if there is one; then, unless disabled: it
    is calibrated on, clipped to a learned range, and quantized, each if enabled. The
    arithmetic is that of the exported model: division by a scale, half to even.

    Parameters
    ----------
    quant_desc : QuantDescriptor, optional
        How. Without `amax` the range is that of each tensor, until one is calibrated.
    disabled : bool, optional
        Let tensors pass.
    if_quant, if_clip, if_calib : bool, optional
        Stages to begin with.

    Attributes
    ----------
    amax : Tensor or None
        Largest magnitude represented; float32, of a shape that broadcasts to the data.
        May be set, to the same shape.
    num_bits, unsigned, narrow_range
        As of the descriptor; may be set.
    pre_quant_scale : Tensor or None
        May be set.
    """

    _enable_onnx_export: ClassVar[bool] = False
    """Whether forward emits QuantizeLinear and DequantizeLinear."""
    use_fb_fake_quant: ClassVar[bool] = False
    """The older name of the same switch."""

    def __init__(
        self,
        quant_desc: ScaledQuantDescriptor | None = None,
        disabled: bool = False,
        if_quant: bool = True,
        if_clip: bool = False,
        if_calib: bool = False,
    ) -> None:
        desc = ScaledQuantDescriptor() if quant_desc is None else quant_desc
        if not isinstance(desc, ScaledQuantDescriptor):
            raise TypeError(
                f"`quant_desc` must be a QuantDescriptor; got {type(desc).__name__}."
            )
        super().__init__(desc, disabled=disabled, if_quant=if_quant)
        self._calibrator = self._new_calibrator()
        if desc.amax is not None:
            amax = torch.from_numpy(desc.amax.copy())
            self.register_buffer("_amax", amax)
            if self._num_bits != 0:
                self._refresh()
        if desc.learn_amax:
            start = 1.0 if desc.amax is None else float(desc.amax.max())
            self.clip = Clip(-start, start, learn_min=True, learn_max=True)
        if desc.learn_scale and desc.amax is not None:
            self.init_learn_scale()
        if if_clip:
            self.enable_clip()
        if if_calib:
            self.enable_calib()

    def _new_calibrator(self) -> HistogramCalibrator | MaxCalibrator | None:
        desc = self._desc
        if desc.num_bits in (0, 1):
            return None
        given: dict[str, Any] = {
            "num_bits": desc.num_bits,
            "axis": desc.axis,
            "unsigned": desc.unsigned,
            "spec": desc.spec(),
        }
        if desc.calib_method in ("max", "output"):
            return MaxCalibrator(**given)
        return HistogramCalibrator(**given, num_bins=desc.num_bins)

    def load_calib_amax(self, *args: Any, strict: bool = True, **kwargs: Any) -> None:
        """
        Take the range from what was collected.

        Parameters
        ----------
        *args, **kwargs
            The method and its options, as of `compute_amax` of the calibrator. If left
            out: those of the descriptor, with the defaults of `qcore.calibrate`.
        strict : bool, optional
            Raise if nothing was collected. If false, warn, and amax is NaN.

        Raises
        ------
        RuntimeError
            If nothing was collected, or NaN or infinity was.
        TypeError
            If no method is named, here or in the descriptor.
        """
        calibrator = self._calibrator
        if calibrator is None:
            raise RuntimeError("Calibrator was not created, there is no amax to load.")
        if len(args) > 1:
            raise TypeError(
                "options of a method must be given by name; got "
                f"{', '.join(map(repr, args[1:]))} after {args[0]!r}."
            )
        method = args[0] if args else kwargs.pop("method", None)
        if type(calibrator).compute_amax not in _OWN:  # somebody else's
            given = args if method is None or args else (method,)
            amax = calibrator.compute_amax(*given, **kwargs)
            found = None if amax is None else (-amax, amax)
        elif method is None:
            options = {**(self._desc.calib_options or {}), **kwargs}
            named = self._desc.calib_method
            method = "max" if named == "output" else named
            found = calibrator.compute_range(method, **options)
        elif self.spec.symmetric:
            amax = calibrator.compute_amax(method, **kwargs)
            found = None if amax is None else (-amax, amax)
        else:
            found = calibrator.compute_range(method, **kwargs)
        if found is None:
            said = (
                "Calibrator returned None. This usually happens when calibrator hasn't "
                "seen any tensor."
            )
            if strict:
                raise RuntimeError(said)
            _log.warning("%s amax is NaN.", said)
            nan = torch.full((), torch.nan, device=self.device)
            found = nan, nan
        self.replace_range(*found)

    def init_learn_amax(self) -> None:
        """
        Start the learned range from amax; of several the largest, with a warning.

        Raises
        ------
        RuntimeError
            If no range is learned, or there is no amax.
        """
        if not self._desc.learn_amax:
            raise RuntimeError("`learn_amax` must be true to start a learned range.")
        if self.amax is None:
            raise RuntimeError("amax must be there to start a learned range from.")
        amax = self.amax.detach()
        if amax.numel() > 1:
            _log.warning(
                "A learned range is per tensor: it starts at the largest amax."
            )
            amax = amax.max()
        with torch.no_grad():
            low, high = self._learned_ends()
            high.copy_(amax.reshape(()))
            low.copy_(-amax.reshape(()))

    def _learned_ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = self.clip.clip_value_min, self.clip.clip_value_max
        assert isinstance(low, torch.Tensor) and isinstance(high, torch.Tensor)  # noqa: PT018
        return low, high

    def init_learn_scale(self) -> None:
        """
        Make the scale a parameter, which starts at the one there is (LSQ).

        Raises
        ------
        RuntimeError
            If there is no range yet.
        """
        with torch.inference_mode(False):  # whose tensors cannot be trained
            self.learned_scale = nn.Parameter(self.qparams().scale.clone())

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Learn the scale if what is loaded does."""
        loaded = state_dict.get(f"{prefix}learned_scale")
        held = self._parameters.get("learned_scale")
        if loaded is not None and (held is None or held.shape != loaded.shape):
            blank = torch.empty_like(loaded, device=self.device)
            self.learned_scale = nn.Parameter(blank)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def collect(self, x: torch.Tensor) -> None:
        """Count a tensor in, if there is a calibrator."""
        if self._calibrator is not None:
            self._calibrator.collect(x)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """
        Return the tensor as the stages leave it.

        Parameters
        ----------
        inputs : Tensor
            Floating-point, of any shape that the scales fit.

        Returns
        -------
        Tensor
            Of its shape and dtype.
        """
        if not isinstance(inputs, torch.Tensor):
            raise TypeError(f"`inputs` must be a tensor; got {type(inputs).__name__}.")
        x = inputs
        before = self._buffers.get("_pre_quant_scale")
        if before is not None:
            x = (inputs * before).to(inputs.dtype)
        if self._disabled:
            return x
        check_tensor(x, "inputs")
        if self._if_calib:
            self.collect(x)
        if self._if_clip:
            x = self.clip(x)
        return self._quantized(x) if self._if_quant else x

    def _quantized(self, x: torch.Tensor) -> torch.Tensor:
        if self._num_bits == 0:
            return torch.zeros_like(x)
        if self._enable_onnx_export or self.use_fb_fake_quant:
            if "onnx" in self._modules:  # what onnx_export has prepared
                return self.onnx(x)  # type: ignore[operator, no-any-return]
            if not (self.has_range() or self.is_learned()):
                raise RuntimeError("every quantizer must be calibrated before export.")
            if self._desc.learn_amax and is_exporting():
                raise RuntimeError(
                    "a learned range must be frozen: export by `export_onnx`, or by "
                    "`torch.onnx.export`, so named, within `enable_onnx_export`."
                )
            return quantize_dequantize(x, self._now(x))
        qparams = self._now(x)
        if self.fake_quant:
            return fake_quantize(x, qparams)
        self._scale = 1 / qparams.scale
        codes: torch.Tensor = quantize(x, qparams).to(x.dtype)
        if not x.requires_grad:
            return codes
        passed = fake_quantize(x, qparams)
        return codes + (passed - passed.detach()).to(x.dtype)  # the gradient alone

    @torch.no_grad()
    def frozen_qparams(self) -> QParams:
        """
        Return the scale there is now, learned or fixed, in memory of its own.

        Raises
        ------
        RuntimeError
            If there is none, but one for each tensor.
        """
        if not (self.has_range() or self.is_learned()):
            raise RuntimeError("the quantizer must have a scale; calibrate it first.")
        now = self._now(torch.ones((), device=self.device))
        return QParams(now.scale.detach().clone(), now.zero_point.clone(), now.spec)

    def _now(self, x: torch.Tensor) -> QParams:
        """Return the scale of data: learned, fixed or its own."""
        if "learned_scale" in self._parameters:
            spec = self.spec
            return QParams(
                scale_of(self.learned_scale, x, spec), self._zero_point, spec
            )
        if self._desc.learn_amax:
            low, high = self._learned_ends()
            return self._qparams_of(low.detach(), high.detach(), self.spec)
        if self.has_range():
            return self.qparams()
        spec = self.spec
        return self._qparams_of(*range_of(x.detach(), spec.granularity), spec)
