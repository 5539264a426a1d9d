"""Scales with integer offsets in plain numbers, as QParams and back."""

from collections.abc import Sequence
from math import inf, prod

from qcore import IntFormat, PerChannel, PerTensor, QParams, QuantSpec, parse_format
from qcore.arithmetic import TINY
from qcore.errors import QuantError
from qcore.libraries import arithmetic, namespace
from qcore.transfer import to_host
from qcore.typing import Device, Namespace


def qparams_of(
    scale: Sequence[float],
    offset: Sequence[int],
    format: str | IntFormat,
    /,
    *,
    axis: int = -1,
    ndim: int = 1,
    xp: Namespace,
    device: Device | None = None,
) -> QParams:
    """
    Return scales and offsets as QParams.

    Parameters
    ----------
    scale, offset : sequence
        One for all data, or one for each index along an axis of it.
    format : str or IntFormat
        What codes are.
    axis, ndim : int, optional
        Of the data: the axis of several scales, and how many axes there are.
    xp : namespace
        Whose arrays the result shall hold.
    device : device, optional
        One of that library.

    Raises
    ------
    QuantError
        If there is none, if they are not as many, or if codes cannot be made of them.
    """
    fmt = parse_format(format)
    if not isinstance(fmt, IntFormat):
        raise QuantError(f"`format` must be an integer format; got {fmt.name}.")
    _check(scale, offset, fmt)
    is_single = len(scale) == 1
    shape = [1] * (0 if is_single else ndim)
    if not is_single:
        shape[axis] = len(scale)
    spec = QuantSpec(
        fmt,
        granularity=PerTensor() if is_single else PerChannel(axis),
        symmetric=not any(offset),
    )

    with arithmetic(xp):
        return QParams(
            xp.reshape(
                xp.asarray(list(scale), dtype=xp.float32, device=device), tuple(shape)
            ),
            xp.reshape(
                xp.asarray(list(offset), dtype=xp.int32, device=device), tuple(shape)
            ),
            spec,
        )


def offsets_of(qparams: QParams, /) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """
    Return scales and offsets of signed codes, in plain numbers.

    Parameters
    ----------
    qparams : QParams
        Of an integer format, with at most one axis of scales.

    Raises
    ------
    QuantError
        If the format or the granularity is another, or a scale is not usable.
    """
    fmt = qparams.spec.format
    shape = tuple(qparams.scale.shape)
    if not isinstance(fmt, IntFormat):
        raise QuantError(f"`qparams` must be of an integer format; got {fmt.name}.")
    if max(shape, default=1) != prod(shape):
        raise QuantError(
            f"`qparams` must have scales along one axis at most; got shape {shape}."
        )
    xp = namespace(qparams.scale)
    with arithmetic(xp):
        scale = to_host(xp.astype(qparams.scale, xp.float32), xp=xp)
        zero_point = to_host(qparams.zero_point, xp=xp)
    below = 0 if fmt.signed else 2 ** (fmt.bits - 1)
    scales = tuple(scale.reshape(-1).tolist())
    offsets = tuple(z - below for z in zero_point.reshape(-1).tolist())
    _check(scales, offsets, IntFormat(fmt.bits))
    return scales, offsets


def _check(scale: Sequence[float], offset: Sequence[int], fmt: IntFormat) -> None:
    if not scale or len(scale) != len(offset):
        raise QuantError(
            "a record must have as many scales as offsets, one at least; got "
            f"{len(scale)} and {len(offset)}."
        )
    for s in scale:
        if not TINY <= s < inf:
            raise QuantError(f"a scale must be a positive normal number; got {s!r}.")
    for z in offset:
        if not fmt.qmin <= z <= fmt.qmax:
            raise QuantError(f"an offset must be a code of {fmt.name}; got {z}.")
