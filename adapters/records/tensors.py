"""What records ask of the scales that they are to hold, tensor by tensor."""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, TypeAlias

import numpy as np

from qcore import FloatFormat, IntFormat, PerBlock, PerTensor, QParams, QuantSpec
from qcore.arithmetic import TINY
from qcore.errors import QuantError
from qcore.formats import Format
from qcore.granularity import Granularity
from qcore.libraries import arithmetic, namespace
from qcore.transfer import to_host

Tensors: TypeAlias = Mapping[str, QParams]
"""From the names of tensors to what was decided for them."""

INT8 = QuantSpec("int8")
"""What calibration tables are of."""


class HeldError(QuantError):
    """A kind of record cannot hold a tensor as it is."""

    def __init__(self, title: str, holds: str, name: str, what: str, /) -> None:
        super().__init__(f"a {title} {holds}; the tensor {name!r} {what}.")


class NotInt8Error(HeldError):
    """A tensor is in no symmetric int8, which alone a kind of record holds."""


def decided(scale: Any, zero_point: Any, spec: QuantSpec, /) -> QParams:
    """
    Return numbers that a file has as `QParams` of numpy.

    Parameters
    ----------
    scale, zero_point : array_like
        Floats and whole numbers, in the shape that scales of the spec have.
    spec : QuantSpec
        How codes are made with them.

    Raises
    ------
    QuantError
        If codes cannot be made of them: it says why, not where.
    """
    with np.errstate(over="ignore"):
        scales = np.asarray(scale, dtype=np.float64).astype(np.float32)
    zeros = np.asarray(zero_point, dtype=np.int64)
    if scales.shape != zeros.shape or not scales.size:
        raise QuantError(
            "there must be as many scales as zero points, one at least; got the shapes "
            f"{scales.shape} and {zeros.shape}"
        )
    _check_shape(scales.shape, spec.granularity)
    usable = (scales >= TINY) & (scales < inf)
    if not usable.all():
        bad = float(scales[~usable][0])
        raise QuantError(f"a scale must be a positive normal float32; got {bad!r}")
    fmt = spec.format
    low, high = (fmt.qmin, fmt.qmax) if isinstance(fmt, IntFormat) else (0, 0)
    low, high = (0, 0) if spec.symmetric else (low, high)
    outside = (zeros < low) | (zeros > high)
    if outside.any():
        bad = int(zeros[outside][0])
        what = "symmetric " if spec.symmetric else ""
        raise QuantError(
            f"a zero point of {what}{fmt.name} must lie in [{low}, {high}]; got {bad}"
        )
    # Numpy lacks bfloat16, whose numbers are kept in float32.
    dtype = np.float16 if spec.scale_dtype == "float16" else np.float32
    return QParams(scales.astype(dtype), zeros.astype(np.int32), spec)


def spec_of(
    fmt: Format, zero_point: Any, granularity: Granularity | None = None, /
) -> QuantSpec:
    """Return the spec of zero points that a file has: symmetric if all are 0."""
    symmetric = isinstance(fmt, FloatFormat) or not np.any(zero_point)
    return QuantSpec(fmt, granularity or PerTensor(), symmetric=symmetric)


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


def usable(tensors: Tensors, title: str, /) -> Iterator[tuple[str, QParams]]:
    """
    Yield names and qparams that are what they should be.

    Raises
    ------
    TypeError
        If it is no mapping of names to `QParams`.
    QuantError
        If a name is no Unicode, or a scale not a positive normal number.
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
        scales = scales_of(one)
        if not scales.size or not ((scales >= TINY) & (scales < inf)).all():
            bad = float(scales.min()) if scales.size else "none"
            raise HeldError(title, "holds positive normal scales", name, f"has {bad}")
        yield name, one


def checked(tensors: Tensors, title: str, /) -> Iterator[tuple[str, QParams]]:
    """
    Yield names and qparams, of which any other toolkit can make the same codes.

    Raises
    ------
    TypeError, QuantError
        As `usable`, and if rounding is not to the nearest, halves to even.
    """
    for name, one in usable(tensors, title):
        if one.spec.rounding != "half_even":
            what = f"is rounded {one.spec.rounding}"
            raise HeldError(title, "rounds halves to even", name, what)
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
            raise NotInt8Error(title, "holds int8 alone", name, f"is {fmt.name}")
        if scales.ndim:
            raise HeldError(title, _ONE_SCALE, name, f"has {scales.size}")
        if zero_points_of(one).any():
            zero_point = int(zero_points_of(one))
            what = f"has the zero point {zero_point}"
            raise NotInt8Error(title, "holds symmetric ranges alone", name, what)
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
            raise HeldError(title, "has a line for each", name, "does not fit on one")
        yield name, scale


def check_one_scale(name: str, qparams: QParams, title: str, /) -> None:
    """Raise QuantError if a tensor has several scales."""
    scales = scales_of(qparams)
    if scales.ndim:
        raise HeldError(title, _ONE_SCALE, name, f"has {scales.size}")


def integers(name: str, qparams: QParams, title: str, /) -> IntFormat:
    """Return the format of integer codes; raise QuantError if they are floats."""
    fmt = qparams.spec.format
    if isinstance(fmt, FloatFormat):
        raise HeldError(title, "holds integers alone", name, f"is {fmt.name}")
    return fmt


def _check_shape(shape: tuple[int, ...], granularity: Granularity) -> None:
    """Raise QuantError if no data has scales of that shape."""
    try:
        kept = shape if isinstance(granularity, PerBlock) else None
        fits = (kept or granularity.scale_shape(shape)) == shape
    except ValueError:  # an axis that is not there
        fits = False
    if not fits:
        raise QuantError(f"scales of {granularity} cannot have the shape {shape}")


def _check_name(name: str, title: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        what = "is named by what is no Unicode"
        raise HeldError(title, "holds names in UTF-8", name, what) from error


_ONE_SCALE = "has one scale for each tensor"
