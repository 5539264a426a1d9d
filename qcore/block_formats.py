"""The block formats: few bits an element, one small scale for each run of them.

MX is "OCP Microscaling Formats (MX) Specification" v1.0: blocks of 32, scales that are
powers of two. NVFP4 is NVIDIA's: blocks of 16, float8 scales under a global one.
"""

from qcore.errors import UnknownFormatError, nearest
from qcore.granularity import PerBlock
from qcore.spec import E4M3, E8M0, QuantSpec

_BLOCKS = {
    "mxfp8_e4m3": ("float8_e4m3fn", 32, E8M0),
    "mxfp8_e5m2": ("float8_e5m2", 32, E8M0),
    "mxfp6_e2m3": ("float6_e2m3fn", 32, E8M0),
    "mxfp6_e3m2": ("float6_e3m2fn", 32, E8M0),
    "mxfp4": ("float4_e2m1fn", 32, E8M0),
    "mxint8": ("int8", 32, E8M0),
    "nvfp4": ("float4_e2m1fn", 16, E4M3),
}
"""Format of the elements, elements in a block, format of the scales."""

BLOCK_FORMATS = tuple(_BLOCKS)
"""Their names."""


def block_spec(
    name: str, /, axis: int = -1, *, scale_rounding: str | None = None
) -> QuantSpec:
    """
    Return the spec of a block format.

    Parameters
    ----------
    name : str
        ``"mxfp8_e4m3"``, ``"mxfp8_e5m2"``, ``"mxfp6_e2m3"``, ``"mxfp6_e3m2"``,
        ``"mxfp4"``, ``"mxint8"`` or ``"nvfp4"``.
    axis : int, optional
        The axis that is cut into blocks: the one that products are summed along.
    scale_rounding : str, optional
        As in `QuantSpec`. By default no value of MX saturates, as in TensorRT Model
        Optimizer; ``"floor"`` is the rule of the specification.

    Returns
    -------
    QuantSpec
        Per block. Stored scales are those of `encode_scales`.

    Raises
    ------
    UnknownFormatError
        If no block format has that name; it names the nearest.
    ValueError
        If such scales are not rounded that way.
    """
    if name not in _BLOCKS:
        raise UnknownFormatError(
            f"`name` must be that of a block format; got {name!r}: "
            f"{nearest(str(name), _BLOCKS)}"
        )
    elements, size, scales = _BLOCKS[name]
    return QuantSpec(
        elements,
        PerBlock(axis, size),
        scale_format=scales,
        scale_rounding=scale_rounding,
    )
