"""How a tensor is quantized, as the ``QuantizationArgs`` of compressed-tensors."""

from typing import Any

import numpy as np

from qcore import IntFormat, PerBlock, PerChannel, QParams, parse_format
from qcore.adapters.records.json_document import Found
from qcore.adapters.records.tensors import (
    HeldError,
    decided,
    scales_of,
    spec_of,
    zero_points_of,
)
from qcore.formats import Format

FLOAT8 = "float8_e4m3fn"


def read(found: Found, scale: Any, zero_point: Any, /) -> QParams:
    """
    Return the scales of a tensor.

    Parameters
    ----------
    found : Found
        The arguments.
    scale, zero_point : array
        Of numpy; no zero points are 0.

    Raises
    ------
    QuantError
        If it is in no form that `QParams` have.
    """
    fmt = _format(found)
    zeros = np.zeros(scale.shape) if zero_point is None else zero_point
    if zeros.shape != scale.shape:
        raise found.said(f"zero points of shape {zeros.shape} for {scale.shape} scales")
    size, strategy = found.get("group_size"), found.get("strategy").value
    if strategy is None and size.value is None:
        strategy = "tensor"
    elif strategy is None:
        strategy = "channel" if size.whole() == -1 else "group"
    if strategy == "tensor" and scale.size == 1:
        scale, zeros = scale.reshape(()), zeros.reshape(())
        return decided(scale, zeros, spec_of(fmt, zeros))
    if strategy == "channel":
        scale, zeros = scale.reshape(-1, 1), zeros.reshape(-1, 1)
        return decided(scale, zeros, spec_of(fmt, zeros, PerChannel(0)))
    if strategy == "group" and scale.ndim == 2:
        blocks = PerBlock(1, size.whole(1))
        return decided(scale, zeros, spec_of(fmt, zeros, blocks))
    raise found.said(
        f"scales of the shape {scale.shape} must be of the strategy tensor, channel or "
        f"group; got {str(strategy)[:40]!r}"
    )


def written(
    name: str, qparams: QParams, is_weight: bool, title: str, /
) -> tuple[dict[str, Any], Any, Any]:
    """
    Return the arguments, scales and zero points of a tensor.

    Raises
    ------
    QuantError
        If there is no such form.
    """
    fmt, granularity = qparams.spec.format, qparams.spec.granularity
    scale, zeros = scales_of(qparams), zero_points_of(qparams)
    if isinstance(fmt, IntFormat):
        zeros = zeros - (0 if fmt.signed else 2 ** (fmt.bits - 1))
    elif fmt.name != FLOAT8:
        raise HeldError(title, f"holds integers and {FLOAT8}", name, f"is {fmt.name}")
    how: dict[str, Any] = {
        "num_bits": fmt.bits,
        "type": "int" if isinstance(fmt, IntFormat) else "float",
        "symmetric": not zeros.any(),
        "strategy": "tensor",
        "dynamic": False,
    }
    if scale.ndim == 0:
        scale, zeros = scale.reshape(1), zeros.reshape(1)
    elif not is_weight:
        raise HeldError(
            title, "has one scale for activations", name, f"has {scale.size}"
        )
    elif isinstance(granularity, PerBlock) and granularity.axis in {1, -1}:
        how |= {"strategy": "group", "group_size": granularity.size}
    elif isinstance(granularity, PerBlock) or scale.shape != (len(scale), 1):
        what = f"has {granularity} and scales of the shape {scale.shape}"
        raise HeldError(title, "has scales of rows, or of blocks in rows", name, what)
    else:
        how["strategy"] = "channel"
    if how["symmetric"]:
        return how, scale, None
    return how, scale, zeros.astype(np.int8 if fmt.bits <= 8 else np.int16)


def _format(found: Found) -> Format:
    bits = found.get("num_bits", 8).whole(2, 16)
    kind = found.get("type", "int").text()
    if found.get("dynamic", False).value is not False:
        raise found["dynamic"].wrong("false: scales that are found at run time vary")
    if kind == "int":
        return IntFormat(bits)
    if kind == "float" and bits == 8:
        return parse_format(FLOAT8)
    raise found["type"].wrong("int, or float of 8 bits")
