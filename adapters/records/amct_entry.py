"""What AMCT records of a layer: its factors, and those of what it puts in a KV cache.

The fields have AMCT's names. AMCT quantizes to ``round(x / scale) + offset`` and reads
``(q - offset) * scale``: an offset is a zero point. Scales are float32 numbers.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

from qcore import IntFormat, QParams
from qcore.adapters.records.amct_fields import recorded, store
from qcore.adapters.records.offsets import offsets_of, qparams_of
from qcore.errors import QuantError
from qcore.typing import Device, Namespace


@dataclass(frozen=True)
class LayerRecord:
    """
    The factors of a layer, AMCT's ``value``; what is None or empty is not recorded.

    Attributes
    ----------
    scale_d, offset_d : float, int or None
        Of the layer's input, per tensor.
    scale_w, offset_w : tuple of float, tuple of int
        Of its weights: one, or one for each output channel. AMCT knows the offset 0
        alone.
    shift_bit : tuple of int
        Reserved by AMCT, which writes none.
    tensor_balance_factor : tuple of float
        By which input channels are divided and weights multiplied (AMCT's "DMQ").
    skip_fusion : bool or None
        Whether a batch normalization that follows is left alone.
    dst_type, act_type, wts_type : str or None
        Codes of both, of inputs and of weights, such as ``"INT8"``, which it is if
        nothing is recorded.
    fakequant_precision_mode : str or None
        ``"DEFAULT"`` if nothing is recorded.
    scale_h, offset_h, scale_r, offset_r
        Of a recurrent layer: its state, and the weights for it.

    Raises
    ------
    TypeError
        If a field is given something else.
    QuantError
        If a number is out of the range of its field.
    """

    scale_d: float | None = None
    offset_d: int | None = None
    scale_w: tuple[float, ...] = ()
    offset_w: tuple[int, ...] = ()
    shift_bit: tuple[int, ...] = ()
    tensor_balance_factor: tuple[float, ...] = ()
    skip_fusion: bool | None = None
    dst_type: str | None = None
    act_type: str | None = None
    wts_type: str | None = None
    fakequant_precision_mode: str | None = None
    scale_h: float | None = None
    offset_h: int | None = None
    scale_r: tuple[float, ...] = ()
    offset_r: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Hold each value as a file would."""
        store(self, "SingleLayerRecord")

    @classmethod
    def of(cls, *, data: QParams | None = None, weight: QParams | None = None) -> Self:
        """
        Return the record of scales and zero points.

        Parameters
        ----------
        data : QParams, optional
            Of the layer's input: of an integer format, per tensor. An unsigned code is
            recorded as the signed one that lies ``2**(bits - 1)`` lower.
        weight : QParams, optional
            Of its weights: signed, symmetric, with one axis kept at most.

        Raises
        ------
        QuantError
            If a record cannot say what they say.
        """
        found: dict[str, Any] = {}
        if data is not None:
            scale, offset = offsets_of(data)
            if len(scale) > 1:
                raise QuantError(f"`data` must have one scale; got {len(scale)}.")
            found |= {"scale_d": scale[0], "offset_d": offset[0]}
            found["act_type"] = _codes(data)
        if weight is not None:
            scale, offset = offsets_of(weight)
            if any(offset):
                raise QuantError("`weight` must have no offset but 0; got others.")
            found |= {"scale_w": scale, "offset_w": offset}
            found["wts_type"] = _codes(weight)
        return cls(**found)

    def data_qparams(self, *, xp: Namespace, device: Device | None = None) -> QParams:
        """
        Return the scale and zero point of the layer's input, 0-d.

        Parameters
        ----------
        xp : namespace
            Whose arrays they shall be.
        device : device, optional
            One of that library.

        Raises
        ------
        QuantError
            If they are not recorded or not usable.
        """
        scale = () if self.scale_d is None else (self.scale_d,)
        offset = () if self.offset_d is None else (self.offset_d,)
        codes = self.act_type or self.dst_type or "INT8"
        return qparams_of(scale, offset, codes.lower(), xp=xp, device=device)

    def weight_qparams(
        self,
        ndim: int,
        /,
        *,
        axis: int = 0,
        xp: Namespace,
        device: Device | None = None,
    ) -> QParams:
        """
        Return the scales and zero points of weights of `ndim` axes.

        Parameters
        ----------
        ndim : int
            Rank of the weights.
        axis : int, optional
            That of the output channels, along which several scales lie.
        xp, device
            As in `data_qparams`.

        Raises
        ------
        QuantError
            If they are not recorded or not usable.
        """
        codes = self.wts_type or self.dst_type or "INT8"
        return qparams_of(
            self.scale_w,
            self.offset_w,
            codes.lower(),
            axis=axis,
            ndim=ndim,
            xp=xp,
            device=device,
        )

    def merged(self, update: Self, /) -> tuple[Self, tuple[str, ...]]:
        """Return the record with the fields of another, and which of them it had."""
        given, had = recorded(update), recorded(self)
        return replace(self, **given), tuple(name for name in given if name in had)


@dataclass(frozen=True)
class KVCacheRecord:
    """
    The factors of keys or values in a cache, AMCT's ``kv_cache_value``.

    Attributes
    ----------
    scale, offset : tuple of float, tuple of int
        One, or one for each index of the last axis.

    Raises
    ------
    TypeError, QuantError
        As of `LayerRecord`.
    """

    scale: tuple[float, ...] = ()
    offset: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Hold each value as a file would."""
        store(self, "SingleLayerKVCacheRecord")

    @classmethod
    def of(cls, qparams: QParams, /) -> Self:
        """
        Return the record of scales and zero points.

        Parameters
        ----------
        qparams : QParams
            Of an integer format, per tensor or with one axis kept. An unsigned code is
            recorded as the signed one that lies ``2**(bits - 1)`` lower.

        Raises
        ------
        QuantError
            If a record cannot say what they say.
        """
        return cls(*offsets_of(qparams))

    def qparams(
        self,
        format: str | IntFormat = "int8",
        /,
        *,
        ndim: int = 1,
        xp: Namespace,
        device: Device | None = None,
    ) -> QParams:
        """
        Return the scales and zero points for data of `ndim` axes.

        Parameters
        ----------
        format : str or IntFormat, optional
            The codes, which the record does not tell.
        ndim : int, optional
            Rank of the data; several scales lie along its last axis, a single one is
            0-d.
        xp, device
            As in `LayerRecord.data_qparams`.

        Raises
        ------
        QuantError
            If the factors are not usable.
        """
        return qparams_of(
            self.scale, self.offset, format, ndim=ndim, xp=xp, device=device
        )


@dataclass(frozen=True)
class Entry:
    """
    All that a file says of a layer.

    Attributes
    ----------
    value : LayerRecord or None
        Factors of the layer.
    kv_cache_value : KVCacheRecord or None
        Factors of what it puts in a cache.
    """

    value: LayerRecord | None = None
    kv_cache_value: KVCacheRecord | None = None

    def __post_init__(self) -> None:
        """Refuse what is no record."""
        for name, kind in (("value", LayerRecord), ("kv_cache_value", KVCacheRecord)):
            if not isinstance(getattr(self, name), kind | None):
                raise TypeError(
                    f"`{name}` must be a {kind.__name__} or None; got "
                    f"{getattr(self, name)!r}."
                )

    def merged(self, update: Self, /) -> tuple[Self, tuple[str, ...]]:
        """
        Return the entry with what another one holds, and what was overwritten.

        Parameters
        ----------
        update : Entry
            Its layer's factors replace those of the same name, its factors of a cache
            all of them.

        Returns
        -------
        entry : Entry
            What both hold.
        overwritten : tuple of str
            Names of the fields that both held.
        """
        value, cache = self.value, self.kv_cache_value
        overwritten: tuple[str, ...] = ()
        if update.value is not None:
            value, overwritten = (value or LayerRecord()).merged(update.value)
        if update.kv_cache_value is not None:
            overwritten += () if cache is None else ("kv_cache_value",)
            cache = update.kv_cache_value
        return replace(self, value=value, kv_cache_value=cache), overwritten


def _codes(qparams: QParams) -> str | None:
    """Return AMCT's name of the codes, or None for its default."""
    bits = qparams.spec.format.bits
    return None if bits == 8 else f"INT{bits}"
