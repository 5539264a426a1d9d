"""What records ask of the scales that they are to hold, tensor by tensor."""

from collections.abc import Iterator, Mapping
from math import inf, prod
from typing import Any, TypeAlias

import numpy as np

from qcore import FloatFormat, IntFormat, PerTensor, QParams, QuantSpec
from qcore.arithmetic import TINY
from qcore.errors import QuantError
from qcore.formats import Format
from qcore.granularity import Granularity
from qcore.libraries import arithmetic, namespace
from qcore.transfer import to_host

Tensors: TypeAlias = Mapping[str, QParams]
"""From the names of tensors to what was decided for them."""

INT8 = IntFormat(8)


def decided(
    scale: Any,
    zero_point: Any,
    fmt: Format,
    /,
    *,
    granularity: Granularity | None = None,
    shape: tuple[int, ...] = (),
) -> QParams:
    """
    Return plain numbers as `QParams` of numpy.

    Parameters
    ----------
    scale, zero_point : float or nested list of it, int or nested list of it
        As many as `shape` has elements.
    fmt : format
        What codes are.
    granularity : granularity, optional
        Which elements share a scale; per tensor by default.
    shape : tuple of int, optional
        Of the scales.

    Raises
    ------
    QuantError
        If codes cannot be made of them: it says why, not where.
    """
    with np.errstate(over="ignore"):
        scales = np.asarray(scale, dtype=np.float64).astype(np.float32)
    zeros = np.asarray(zero_point, dtype=np.int64)
    if scales.size != prod(shape) or zeros.size != prod(shape):
        raise QuantError(
            f"there must be {prod(shape)} scales and zero points; got {scales.size} "
            f"and {zeros.size}"
        )
    for number in scales.reshape(-1).tolist():
        if not TINY <= number < inf:
            raise QuantError(
                f"a scale must be a positive normal float32; got {number!r}"
            )
    low, high = (fmt.qmin, fmt.qmax) if isinstance(fmt, IntFormat) else (0, 0)
    if ((zeros < low) | (zeros > high)).any():
        raise QuantError(
            f"a zero point of {fmt.name} must lie in [{low}, {high}]; got "
            f"{int(zeros.min())} to {int(zeros.max())}"
        )
    spec = QuantSpec(
        fmt,
        PerTensor() if granularity is None else granularity,
        symmetric=not zeros.any(),
    )
    zeros = zeros.astype(np.int32)
    return QParams(scales.reshape(shape), zeros.reshape(shape), spec)


def scales_of(qparams: QParams, /) -> Any:
    """Return the scales as float32 of numpy, a single one 0-d."""
    xp = namespace(qparams.scale)
    with arithmetic(xp):
        found = np.asarray(to_host(xp.astype(qparams.scale, xp.float32), xp=xp))
    return found.reshape(()) if found.size == 1 else found


def zero_points_of(qparams: QParams, /) -> Any:
    """Return the zero points as integers of numpy, a single one 0-d."""
    found = np.asarray(to_host(qparams.zero_point, xp=namespace(qparams.zero_point)))
    return found.reshape(()) if found.size == 1 else found


def checked(tensors: Tensors, title: str, /) -> Iterator[tuple[str, QParams]]:
    """
    Yield names and qparams, of which any other toolkit can make the same codes.

    Raises
    ------
    TypeError
        If it is no such mapping.
    QuantError
        If scales are not usable, or rounding is not to the nearest, halves to even.
    """
    if not isinstance(tensors, Mapping):
        raise TypeError(
            f"`tensors` must map names to QParams; got {type(tensors).__name__}."
        )
    for name, one in tensors.items():
        if not (isinstance(name, str) and isinstance(one, QParams)):
            raise TypeError(
                f"`tensors` must map names to QParams; got {type(one).__name__} for "
                f"{name!r}."
            )
        _check_name(name, title)
        if one.spec.rounding != "half_even":
            raise refused(title, "rounds halves to even", name, one.spec.rounding)
        scales = scales_of(one)
        if not ((scales >= TINY) & (scales < inf)).all():
            bad = float(scales.min()) if scales.size else "none"
            raise refused(title, "holds positive normal scales", name, f"has {bad}")
        yield name, one


def checked_int8(tensors: Tensors, title: str, /) -> Iterator[tuple[str, float]]:
    """
    Yield names and scales of what TensorRT makes: int8, per tensor, zero point 0.

    Raises
    ------
    TypeError, QuantError
        As `checked`, and if anything is otherwise; it names the first such tensor.
    """
    for name, one in checked(tensors, title):
        fmt, scales = one.spec.format, scales_of(one)
        if not isinstance(fmt, IntFormat) or not (fmt.signed and fmt.bits == 8):
            raise refused(title, "holds int8 alone", name, f"is {fmt.name}")
        if scales.ndim:
            raise refused(title, _ONE_SCALE, name, f"has {scales.size}")
        if zero_points_of(one).any():
            zero_point = int(zero_points_of(one))
            what = f"has the zero point {zero_point}"
            raise refused(title, "holds symmetric ranges alone", name, what)
        yield name, float(scales)


def checked_lines(tensors: Tensors, title: str, /) -> Iterator[tuple[str, float]]:
    """Yield what `checked_int8` yields, of names that fit a line of text.

    Raises
    ------
    TypeError, QuantError
        As `checked_int8`, and if a name holds the end of a line.
    """
    for name, scale in checked_int8(tensors, title):
        if not name or name != name.strip() or "\n" in name or "\r" in name:
            raise refused(title, "has a line for each", name, "does not fit on one")
        yield name, scale


def check_one_scale(name: str, qparams: QParams, title: str, /) -> None:
    """Raise QuantError if a tensor has several scales."""
    scales = scales_of(qparams)
    if scales.ndim:
        raise refused(title, _ONE_SCALE, name, f"has {scales.size}")


def integers(name: str, qparams: QParams, title: str, /) -> IntFormat:
    """Return the format of integer codes; raise QuantError if they are floats."""
    fmt = qparams.spec.format
    if isinstance(fmt, FloatFormat):
        raise refused(title, "holds integers alone", name, f"is {fmt.name}")
    return fmt


def refused(title: str, holds: str, name: str, what: str, /) -> QuantError:
    """Return the error about a tensor that a kind of record cannot hold."""
    return QuantError(f"a {title} {holds}; the tensor {name!r} {what}.")


def _check_name(name: str, title: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        what = "is named by what is no Unicode"
        raise refused(title, "holds names in UTF-8", name, what) from error


_ONE_SCALE = "has one scale for each tensor"
