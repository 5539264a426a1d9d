"""A tensor that grows along one axis and is held in codes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import torch
from array_api_compat import torch as xp

from qcore import PerBlock, PerChannel, QParams, dequantize, quantize
from qcore.adapters.torch.given_data import check_tensor
from qcore.methods.options import whole_number
from qcore.pack import pack_rows, unpack_rows

AXIS = -2
"""Of positions; the last axis holds the numbers of each."""


class CodeStore(torch.nn.Module):
    """
    Data of shape ``[…, length, width]``, in codes of static scales.

    Memory doubles when it is used up, unless its length is given. Codes of fewer than
    8 bits are packed, those of a position to whole bytes. Values are never looked at.

    Parameters
    ----------
    qparams : QParams
        Of at most 8 bits; per tensor, or with other axes kept than the first one and
        that of positions. Scales of one axis lie along the last one.
    max_length : int, optional
        Positions to make room for, which are the most that fit.

    Attributes
    ----------
    scale, zero_point : torch.Tensor
        float32, whatever dtype the module is moved to, and int32. They are in the state
        dict; codes are not.
    length : int
        Positions held.

    Raises
    ------
    ValueError
        If codes are wider, or scales would change with the position or the batch.
    """

    scale: torch.Tensor
    zero_point: torch.Tensor
    _codes: torch.Tensor | None

    def __init__(self, qparams: QParams, *, max_length: int | None = None) -> None:
        super().__init__()
        _check_static(qparams)
        if max_length is not None:
            whole_number("max_length", max_length, 1)
        spec = qparams.spec
        if qparams.scale.ndim == 1 and qparams.scale.shape[0] > 1:
            spec = replace(spec, granularity=PerChannel(-1))
        self.spec = spec
        self.max_length = max_length
        self.length = 0
        self._extents: tuple[int, ...] = ()
        for name, dtype in (("scale", torch.float32), ("zero_point", torch.int32)):
            held = torch.as_tensor(getattr(qparams, name)).detach()
            self.register_buffer(name, held.to(dtype, copy=True))
        self.register_buffer("_codes", None, persistent=False)

    @property
    def nbytes(self) -> int:
        """Bytes of the codes, and of the room made for more."""
        return 0 if self._codes is None else self._codes.nbytes

    def check(self, x: torch.Tensor, name: str, /) -> None:
        """Raise TypeError or ValueError unless data can be appended."""
        check_tensor(x, name)
        if x.ndim < 2 or not x.is_floating_point():
            raise ValueError(
                f"`{name}` must be floating-point of shape […, length, width]; got "
                f"{x.dtype} of shape {tuple(x.shape)}."
            )
        if x.device != self.scale.device:
            raise ValueError(
                f"`{name}` must be on the device of its scales, {self.scale.device}; "
                f"got {x.device}."
            )
        if self.length and _extents(x) != self._extents:
            raise ValueError(
                f"`{name}` must have the extents {self._extents} beside the length, as "
                f"what is held; got {_extents(x)}."
            )
        end = self.length + x.shape[AXIS]
        if self.max_length is not None and end > self.max_length:
            raise ValueError(
                f"`{name}` must fit in {self.max_length} positions, `max_length`; "
                f"{self.length} are held, {x.shape[AXIS]} come."
            )
        scale = self._qparams(x.ndim).scale
        self.spec.granularity.fit(scale, tuple(x.shape), xp=xp)

    def append(self, x: torch.Tensor, /) -> None:
        """Hold data, which was checked, behind what is held."""
        codes = quantize(x, self._qparams(x.ndim), xp=xp)
        rows = pack_rows(codes, self.spec.format, xp=xp)
        end = self.length + x.shape[AXIS]
        self._codes = self._with_room(rows, end)
        self._codes[..., self.length : end, :] = rows
        self._extents, self.length = _extents(x), end

    def all(self, dtype: torch.dtype, /) -> torch.Tensor:
        """Return what is held, in a dtype; something was appended before."""
        assert self._codes is not None
        rows, fmt = self._codes[..., : self.length, :], self.spec.format
        codes = unpack_rows(rows, fmt, self._extents[-1], xp=xp)
        found: torch.Tensor = dequantize(codes, self._qparams(codes.ndim), xp=xp)
        return found.to(dtype)

    def crop(self, length: int, /) -> None:
        """Forget the positions behind the first ones."""
        self.length = min(self.length, length)

    def reorder(self, index: torch.Tensor, /) -> None:
        """Hold the entries of the first axis that the indices name."""
        if self._codes is not None:
            with torch.inference_mode(False):  # else its codes could not be changed
                self._codes = self._codes.index_select(0, index)
            self._extents = (index.shape[0], *self._extents[1:])

    def extra_repr(self) -> str:
        """Return what tells one from another when a model is printed."""
        return f"{self.spec.format.name}, length={self.length}"

    def _apply(
        self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True
    ) -> Self:
        """Move to a device; never to another dtype, which would round the scales."""

        def moved(x: torch.Tensor) -> torch.Tensor:
            is_integer = not x.is_floating_point()
            return fn(x) if is_integer else fn(x.view(torch.int32)).view(x.dtype)

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self

    def _qparams(self, ndim: int) -> QParams:
        """Return the scales of data with so many axes."""
        scale, zero_point = self.scale, self.zero_point
        if scale.ndim == 1:
            shape = (1,) * (ndim - 1) + (-1,)
            scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
        return QParams(scale, zero_point, self.spec)

    def _with_room(self, rows: torch.Tensor, length: int) -> torch.Tensor:
        """Return memory for so many positions, beginning with those held."""
        held = self._codes
        if held is not None and _extents(held) != _extents(rows):
            held = None  # after a reset, when anything may come
        room = 0 if held is None else held.shape[AXIS]
        if held is not None and length <= room:
            return held
        room = self.max_length or max(length, 2 * room)
        shape = (*rows.shape[:AXIS], room, rows.shape[-1])
        with torch.inference_mode(False):  # else it could not be changed in later modes
            new = torch.zeros(shape, dtype=rows.dtype, device=rows.device)
        if held is not None:
            new[..., : self.length, :] = held[..., : self.length, :]
        return new


def _extents(x: torch.Tensor) -> tuple[int, ...]:
    """Return the shape without positions."""
    return (*x.shape[:AXIS], x.shape[-1])


def _check_static(qparams: Any) -> None:
    """Raise unless scales are those of every position of every batch."""
    if not isinstance(qparams, QParams):
        raise TypeError(f"`qparams` must be QParams; got {type(qparams).__name__}.")
    spec, shape = qparams.spec, tuple(qparams.scale.shape)
    if spec.format.bits > 8:
        raise ValueError(
            f"`qparams` must be of at most 8 bits; got {spec.format.name}."
        )
    changing = shape[AXIS:-1] + shape[:AXIS][:1]
    if isinstance(spec.granularity, PerBlock) or any(n != 1 for n in changing):
        raise ValueError(
            "`qparams` must have one scale for all positions and all batches; got "
            f"scales of shape {shape} for {spec.granularity}."
        )
