"""What all observers share: codes they may use, a range, and the qparams of it."""

import warnings
from abc import abstractmethod
from functools import partial
from typing import Any

import torch
from array_api_compat import torch as xp
from torch.ao import quantization as torch_ao

from qcore import NonFiniteError, PerChannel, PerTensor, QuantSpec, qparams_from_range
from qcore.adapters.torch.given_data import check_tensor
from qcore.adapters.torch.observers.bounds import (
    DType,
    bounded,
    check_scheme,
    parse_dtype,
)
from qcore.adapters.torch.observers.distributed import widest
from qcore.adapters.torch.observers.ends import moved
from qcore.adapters.torch.observers.factory import ObserverFactory
from qcore.adapters.torch.observers.torchao import introduce
from qcore.formats import Format
from qcore.granularity import Granularity
from qcore.methods.options import lies_within

_OLD_NAMES = {"min_vals": "min_val", "max_vals": "max_val"}


class ObserverBase(torch_ao.ObserverBase):
    """
    Observe tensors and say with which scale and zero point to quantize them.

    Calling it returns its argument. Each batch gives a range, and `min_val` and
    `max_val` are the exponential moving average of these: it depends on the order and
    size of the batches. Observers serve the flows of `torch.ao.quantization`, eager
    mode and FX, and of torchao, PT2E.

    Parameters
    ----------
    averaging_constant : float, optional
        Share of a new range in the average, in [0, 1]; the first one sets it, and with
        0 it then stays.
    ch_axis : int, optional
        The axis whose entries have scales of their own; negative per tensor.
    dtype : torch.dtype, str or format, optional
        What the codes are: ``"qint4"`` to ``"qint16"``, ``torch.quint8``,
        ``"float8_e4m3fn"`` …
    qscheme : torch.qscheme, optional
        Per tensor or per channel, symmetric or affine. Symmetric means zero point 0,
        for an unsigned dtype too: its codes then have no negative values.
    quant_min, quant_max : int, optional
        The lowest and the highest code; those of `dtype` by default.
    is_sync_quantize : bool, optional
        Whether `calculate_qparams` takes the widest range of all processes of
        torch.distributed, which then must all call it.
    factory_kwargs : dict, optional
        Device and dtype of `min_val` and `max_val`. The device is that of the data
        once there is some.
    reduce_range : bool, optional
        Whether to leave out the half of the codes farthest from zero: one bit less.
    is_dynamic : bool, optional
        As torch.ao passes it; must be false.

    Attributes
    ----------
    min_val, max_val : tensor
        ``[C]``, the range of each channel; ``[0]`` before there is one, NaN after NaN
        or infinity.
    dtype : torch.dtype
        What PyTorch holds the codes in.

    Raises
    ------
    ValueError
        If the arguments contradict each other or are out of range.

    Notes
    -----
    After the observers of Horizon's plugin, whose symmetric scale is
    ``amax / ((quant_max - quant_min) / 2)``, so that int8 divides by 127.5 and the
    largest values saturate. Here it is ``amax / quant_max``.
    """

    min_val: torch.Tensor
    max_val: torch.Tensor

    def __init__(
        self,
        averaging_constant: float = 0.01,
        ch_axis: int = -1,
        dtype: DType = "qint8",
        qscheme: torch.qscheme = torch.per_tensor_symmetric,
        quant_min: int | None = None,
        quant_max: int | None = None,
        is_sync_quantize: bool = False,
        factory_kwargs: dict[str, Any] | None = None,
        *,
        reduce_range: bool = False,
        is_dynamic: bool = False,
    ) -> None:
        held, fmt = parse_dtype(dtype)
        if is_dynamic:
            raise ValueError(
                "`is_dynamic` must be false: the range is observed before."
            )
        if not lies_within(0, averaging_constant, 1):
            raise ValueError(
                f"`averaging_constant` must lie in [0, 1]; got {averaging_constant!r}."
            )
        is_per_channel, self._is_symmetric = check_scheme(qscheme, ch_axis)
        introduce(ObserverBase)
        super().__init__(dtype=held)
        self.averaging_constant = averaging_constant
        self.ch_axis = ch_axis
        self.qscheme = qscheme
        self.is_sync_quantize = is_sync_quantize
        self.granularity: Granularity = (
            PerChannel(ch_axis) if is_per_channel else PerTensor()
        )
        used = bounded(fmt, quant_min, quant_max, reduce_range=reduce_range)
        self._set_codes(fmt, used)
        if not isinstance(factory_kwargs, dict | None):
            raise TypeError(
                f"`factory_kwargs` must be a dict or None; got {factory_kwargs!r}."
            )
        factory = torch.nn.factory_kwargs(factory_kwargs)  # type: ignore[no-untyped-call]
        self.register_buffer("min_val", torch.tensor([], **factory))
        self.register_buffer("max_val", torch.tensor([], **factory))

    @classmethod
    def with_args(cls, **named: Any) -> ObserverFactory:
        """Return what makes observers of this class with some parameters set."""
        return ObserverFactory(partial(cls, **named))

    def _set_codes(self, whole: Format, used: Format) -> None:
        """Take the dtype's format, and that of the codes used of it."""
        self._spec = QuantSpec(used, symmetric=self._is_symmetric)
        self._whole = whole
        self.quant_min = getattr(used, "qmin", -used.max)
        self.quant_max = used.max

    def reset_dtype(self, dtype: DType) -> None:
        """
        Take another dtype with all its codes; the same dtype changes nothing.

        Parameters
        ----------
        dtype : torch.dtype, str or format
            As of the class.

        Raises
        ------
        ValueError
            If it is no dtype of codes, or a float that the scheme forbids.
        """
        held, fmt = parse_dtype(dtype)
        if (held, fmt) != (self.dtype, self._whole):
            self._set_codes(fmt, fmt)
            self.dtype = held

    def reset_min_max_vals(self) -> None:
        """Forget all that was observed."""
        self.min_val, self.max_val = (self.min_val.new_empty(0) for _ in range(2))

    def forward(self, x_orig: torch.Tensor) -> torch.Tensor:
        """
        Observe a tensor and return it; an empty one changes nothing.

        Parameters
        ----------
        x_orig : tensor
            Floating-point, of any shape that has the axis of the channels.

        Raises
        ------
        TypeError
            If it is no dense tensor, or one of integers.
        """
        check_tensor(x_orig, "x_orig", has_values=True)
        if x_orig.numel():
            ends = self._observe(x_orig.detach())
            if ends is not None:
                self._store(self._averaged(ends))
        return x_orig

    @abstractmethod
    def _observe(self, x: torch.Tensor, /) -> torch.Tensor | None:
        """Return the ends ``[2, C]`` for what was just seen, if it is time for them."""

    def _averaged(self, ends: torch.Tensor) -> torch.Tensor:
        """Return the ends averaged with those kept."""
        if not self.min_val.numel():
            return ends
        old = torch.stack([self.min_val, self.max_val]).to(ends)
        return (
            moved(old, ends, self.averaging_constant)
            if self.averaging_constant
            else old
        )

    def _store(self, ends: torch.Tensor) -> None:
        dtype = self.min_val.dtype
        self.min_val, self.max_val = (end.to(dtype, copy=True) for end in ends)

    def _current(self) -> torch.Tensor:
        """Return the ends in force, float32 ``[2, C]``; ``[2, 0]`` without data."""
        return torch.stack([self.min_val, self.max_val]).to(torch.float32)

    def calculate_qparams(  # type: ignore[override] # torch.ao calls it so too
        self,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Return the scale and the zero point.

        Returns
        -------
        scale, zero_point : tensor
            float32 and int32 ``[C]``. Without data, after a warning, 1.0 and 0.

        Raises
        ------
        NonFiniteError
            If NaN or infinity was observed.
        ValueError
            If `is_sync_quantize` and processes observed different numbers of channels.
        """
        ends = self._current()
        if self.is_sync_quantize:
            ends = widest(ends)
            self._store(ends)
        if not ends.numel():
            warnings.warn(
                f"{type(self).__name__} has observed nothing: scale 1.0, zero point 0.",
                stacklevel=2,
            )
            return ends.new_ones(1), ends.new_zeros(1, dtype=torch.int32)
        if not bool(ends.isfinite().all()):
            raise NonFiniteError(
                f"{type(self).__name__} must observe finite values; "
                f"got NaN or infinity in {_places(ends)}."
            )
        qparams = qparams_from_range(ends[0], ends[1], self._spec, xp=xp)
        return qparams.scale, qparams.zero_point

    def extra_repr(self) -> str:
        """Return the range, as a module prints it."""
        return f"min_val={self.min_val}, max_val={self.max_val}"

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any
    ) -> None:
        """Load a range of any number of channels; other versions' names are known."""
        for old, new in _OLD_NAMES.items():
            if prefix + old in state_dict:
                state_dict[prefix + new] = state_dict.pop(prefix + old)
        state_dict.pop(f"{prefix}eps", None)  # the least scale of other observers
        if f"{prefix}min_val" in state_dict:
            self.reset_min_max_vals()
        for name in ("min_val", "max_val"):
            if (loaded := state_dict.get(prefix + name)) is not None:
                state_dict[prefix + name] = loaded = loaded.reshape(-1)
                setattr(self, name, getattr(self, name).new_empty(loaded.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)


def _places(ends: torch.Tensor) -> str:
    """Return which channels are not finite, in words."""
    if ends.shape[1] == 1:
        return "its data"
    channels = (~ends.isfinite()).any(dim=0).nonzero().flatten().tolist()
    more = ", …" if len(channels) > 5 else ""
    return f"channels {', '.join(map(str, channels[:5]))}{more}"
