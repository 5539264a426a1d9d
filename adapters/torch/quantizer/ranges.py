"""The range a quantizer holds, and the scale and zero point that follow from it."""

import logging
from collections.abc import Callable
from typing import Any, Self

import torch
from array_api_compat import torch as xp
from torch import nn

from qcore.adapters.torch.given_data import check_tensor
from qcore.adapters.torch.operators.scales import qparams_of_range
from qcore.qparams import amax_from_range
from qcore.spec import QParams, QuantSpec

_log = logging.getLogger(__name__)

_HELD = ("_amax", "_range", "_pre_quant_scale")
"""What a state dict keeps; created when one that has it is loaded."""


class RangeHolder(nn.Module):
    """Holds a fixed range in buffers: amax where symmetric, else both ends.

    Subclasses have a `spec` and a `_scale_amax`. Scale and zero point are buffers too,
    in no state dict, and follow the range: also where somebody else assigns or changes
    the tensor `_amax`. All stay float32 and int32 when a model becomes half or double.
    """

    _scale_amax: float | None
    _step: torch.Tensor
    _zero_point: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("_step", torch.full((), torch.nan), persistent=False)
        zero = torch.zeros((), dtype=torch.int32)
        self.register_buffer("_zero_point", zero, persistent=False)
        self._followed: torch.Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where its buffers are."""
        return self._step.device

    @property
    def spec(self) -> QuantSpec:
        """How data is quantized."""
        raise NotImplementedError

    @property
    def amax(self) -> torch.Tensor | None:
        """The largest magnitude that is represented; of an asymmetric range too."""
        if (ends := self._buffers.get("_range")) is not None:
            lo, hi = ends
            found: torch.Tensor = amax_from_range(lo, hi, self.spec.format, xp=xp)
            return found
        return self._buffers.get("_amax")

    @amax.setter
    def amax(self, value: Any) -> None:
        if value is None:
            _log.error("Setting amax to None is meaningless and was ignored.")
            return
        given = self._placed(value, "amax")
        if bool((given < 0).any()):
            raise ValueError(f"`amax` must not be negative; got {float(given.min())}.")
        held = self.amax
        if held is not None and held.shape != given.shape:
            raise RuntimeError(
                f"`amax` must keep its shape {tuple(held.shape)}; got "
                f"{tuple(given.shape)}. Changing shape is not allowed."
            )
        self.replace_range(-given, given)

    @property
    def pre_quant_scale(self) -> torch.Tensor | None:
        """What data is multiplied by before all else."""
        return self._buffers.get("_pre_quant_scale")

    @pre_quant_scale.setter
    def pre_quant_scale(self, value: Any) -> None:
        self._hold("_pre_quant_scale", self._placed(value, "pre_quant_scale"))

    def replace_range(self, lo: torch.Tensor, hi: torch.Tensor, /) -> None:
        """
        Represent the range from `lo` to `hi` from now on.

        Parameters
        ----------
        lo, hi : Tensor
            The ends, of one shape that broadcasts to the data.
        """
        if self.spec.symmetric:
            name, held = "_amax", amax_from_range(lo, hi, self.spec.format, xp=xp)
        else:
            name, held = "_range", torch.stack([lo, hi])
        self._hold(name, held.detach().to(torch.float32))
        self._refresh()

    def has_range(self) -> bool:
        """Whether a range was given, calibrated or loaded."""
        buffers = self._buffers
        return buffers.get("_amax") is not None or buffers.get("_range") is not None

    def ends(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both ends of the range there is, in memory of their own.

        Of a symmetric one, ``-amax`` and ``amax``; `scale_amax` is not yet in them.
        """
        held = self._held_range().clone()
        if self._buffers.get("_amax") is None:
            return held[0], held[1]
        return -held, held

    def qparams(self) -> QParams:
        """Return scale and zero point of the range.

        Raises
        ------
        RuntimeError
            If there is no range yet.
        """
        if not self.has_range():
            raise RuntimeError("the quantizer must have a range; calibrate it first.")
        if not torch.compiler.is_exporting():
            # A change of the range shows in its values alone: collectives, `.data` and
            # arrays that share its memory leave no other trace. Compiled code and other
            # devices cannot look without waiting.
            held = self._held_range()
            if torch.compiler.is_compiling() or held.device.type != "cpu":
                return self._qparams_of(*self.ends(), self.spec)
            self._follow(held)
        return QParams(self._step, self._zero_point, self.spec)

    def _placed(self, value: Any, name: str) -> torch.Tensor:
        """Return a value as a tensor; a number where the module is."""
        if isinstance(value, torch.Tensor):
            check_tensor(value, name, has_values=not self._step.is_meta)
        device = None if isinstance(value, torch.Tensor) else self.device
        try:
            placed = torch.as_tensor(value, dtype=torch.float32, device=device)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"`{name}` must be a number or a tensor; got {value!r}."
            ) from None
        return placed.detach()

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep a range that is assigned to its private name as a buffer too."""
        if name in _HELD and isinstance(value, torch.Tensor):
            if isinstance(value, nn.Parameter):
                raise TypeError(
                    f"`{name}` must be a tensor that is not learned; got a Parameter. "
                    "Descriptors have `learn_amax` and `learn_scale`."
                )
            if name not in self._buffers:
                self.register_buffer(name, value)
                return
        super().__setattr__(name, value)

    def _hold(self, name: str, value: torch.Tensor) -> None:
        """Keep a value on the device of the module, as no tensor of inference mode."""
        held = self._buffers.get(name)
        with torch.inference_mode(False):
            value = value.to(value.device if held is None else held.device, copy=True)
        self.register_buffer(name, value)

    def _held_range(self) -> torch.Tensor:
        """Return the buffer of the range that there is."""
        amax = self._buffers.get("_amax")
        held = self._buffers.get("_range") if amax is None else amax
        assert held is not None  # has_range() is asked first
        return held

    def _follow(self, held: torch.Tensor) -> None:
        """Compute the scale anew if the range was changed from outside."""
        known = self._followed
        if known is None or known.device != held.device or not held.equal(known):
            self._refresh()

    @torch.no_grad()
    def _refresh(self) -> None:
        """Compute scale and zero point from the range."""
        with torch.inference_mode(False):
            found = self._qparams_of(*self.ends(), self.spec)
            self._followed = self._held_range().detach().clone()
        # No registration: a name that is a buffer stays one.
        self._step, self._zero_point = found.scale.float(), found.zero_point

    def _qparams_of(
        self, lo: torch.Tensor, hi: torch.Tensor, spec: QuantSpec
    ) -> QParams:
        """Return scale and zero point of a range, widened as the descriptor says."""
        if self._scale_amax is not None:
            lo, hi = lo * self._scale_amax, hi * self._scale_amax
        return qparams_of_range(lo, hi, spec)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], *args: Any) -> Self:
        """Move, but keep the dtypes of what is held."""
        held = dict(self._buffers)
        super()._apply(fn, *args)  # type: ignore[no-untyped-call]
        for name, before in held.items():
            now = self._buffers[name]
            if before is not None and now is not None and now.dtype != before.dtype:
                self._buffers[name] = before.to(now.device)
        return self

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Take the shapes of what is loaded, and create what is missing here."""
        for name in _HELD:
            loaded = state_dict.get(prefix + name)
            held = self._buffers.get(name)
            if loaded is None:
                if held is not None:
                    _log.error("%s has no %s in the state dict.", prefix[:-1], name[1:])
                continue
            if held is not None:
                _log.warning("%s: %s is overwritten.", prefix[:-1], name[1:])
            if held is None or held.shape != loaded.shape:
                blank = torch.empty(loaded.shape, device=self.device)
                self.register_buffer(name, blank)
        super()._load_from_state_dict(state_dict, prefix, *args)
        if self.has_range():
            self._refresh()
