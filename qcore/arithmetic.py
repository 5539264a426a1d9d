"""Elementwise steps that every library must do to the last bit."""

from qcore.formats import Format
from qcore.kernels import Kernel
from qcore.typing import Array, DType, Namespace

TINY = 2.0**-126
"""Smallest normal float32; smaller magnitudes count as zero, as XLA has it."""

LARGEST = (2 - 2.0**-23) * 2.0**127
"""Largest finite float32."""

FLOATS = ("float16", "bfloat16", "float32", "float64")
"""Dtypes that data may have."""


_names: dict[tuple[type, DType], str] = {}


def dtype_name(dtype: DType, /) -> str:
    """Return a dtype's name without its library, such as ``"float32"``."""
    key = type(dtype), dtype  # dtypes of two libraries are never compared
    if key not in _names:  # numpy takes microseconds to spell one
        _names[key] = str(getattr(dtype, "__name__", dtype)).rpartition(".")[2]
    return _names[key]


def check_floating(x: Array, what: str = "data", /) -> None:
    """Raise TypeError if data is not of a real floating dtype."""
    name = dtype_name(x.dtype)
    if name not in FLOATS:
        raise TypeError(
            f"{what} must be floating-point (16, 32 or 64 bits); got {name}."
        )


def check_codes(codes: Array, fmt: Format, /) -> None:
    """Raise TypeError if codes are not of the dtype that stores the format."""
    name = dtype_name(codes.dtype)
    if name != fmt.storage:
        raise TypeError(f"codes of {fmt.name} must be {fmt.storage}; got {name}.")


def to_computing_dtype(x: Array, what: str = "data", /, *, xp: Namespace) -> Array:
    """Return data in the dtype its arithmetic is done in: float64 or else float32.

    `what` names the data in errors.

    Raises
    ------
    TypeError
        If the dtype is not a real floating one.
    """
    check_floating(x, what)
    if dtype_name(x.dtype) in ("float32", "float64"):
        return x
    return xp.astype(x, xp.float32)


def broadcast(y: Array, x: Array, name: str, *, xp: Namespace) -> Array:
    """Return `y` in the shape of the data `x`."""
    try:
        return xp.broadcast_to(y, x.shape)
    except (ValueError, RuntimeError):
        raise ValueError(
            f"`{name}` must broadcast to the shape of the data; "
            f"got {tuple(y.shape)} and {tuple(x.shape)}."
        ) from None


@Kernel
def divide(x: Array, scale: Array, /, *, xp: Namespace) -> Array:
    """Return the correctly rounded quotient; `scale` broadcasts and is positive.

    XLA turns a division by a broadcast scale into a multiplication by its reciprocal,
    which moves 6 % of ties; it cannot where the divisor depends on `x`.
    """
    return x / xp.where(x == 0, xp.ones_like(scale), scale)
