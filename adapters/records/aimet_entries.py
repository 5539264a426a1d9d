"""Single encodings of AIMET, each version's from and to `QParams`.

What readers return is None for what is in no integers of up to 16 bits and no float8:
it stays float, or is a bias.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qcore import (
    FloatFormat,
    IntFormat,
    PerBlock,
    PerChannel,
    QParams,
    parse_format,
)
from qcore.adapters.records.json_document import Found
from qcore.adapters.records.tensors import (
    HeldError,
    decided,
    integers,
    scales_of,
    spec_of,
    zero_points_of,
)
from qcore.formats import Format
from qcore.granularity import Granularity, normalize_axes

BIAS_BITS = 32
FLOAT8 = {"float8e4m3fn": "float8_e4m3fn", "float8e5m2": "float8_e5m2"}
"""AIMET's names of formats, and ours."""
FLOAT = ("float16", "bfloat16", "float32")


def _read_0_6_1(found: Found) -> QParams | None:
    each = list(found.items())
    if not each:
        raise found.wrong("a list of one encoding or more")
    if each[0].get("dtype", "int").text() != "int":
        return None
    # AIMET writes the word "True"; files made by others have the value.
    symmetric = each[0]["is_symmetric"]
    signed = str(symmetric.value) == "True"
    if not signed and str(symmetric.value) != "False":
        raise symmetric.wrong('"True" or "False"')
    return _old(
        each[0]["bitwidth"],
        signed,
        [one["scale"].number() for one in each],
        [one["offset"].whole() for one in each],
    )


def _read_1_0_0(found: Found) -> QParams | None:
    if found["dtype"].text().upper() != "INT":
        return None
    kind = found["enc_type"]
    if kind.text() not in {"PER_TENSOR", "PER_CHANNEL"}:
        raise kind.wrong("PER_TENSOR or PER_CHANNEL, which tell all they mean")
    if "zero_point_shift" in found and found["zero_point_shift"].array().any():
        raise found["zero_point_shift"].wrong("0: zero points must be codes")
    return _old(
        found["bw"],
        found["is_sym"].flag(),
        [one.number() for one in found["scale"].items()],
        [one.whole() for one in found["offset"].items()],
    )


def _read_2_0_0(found: Found) -> QParams | None:
    dtype = found["output_dtype"].text()
    if dtype in {*FLOAT, f"int{BIAS_BITS}"}:
        return None
    if "per_block_int_scale" in found:
        raise found.said("scales that are themselves quantized (LPBQ) are not read")
    fmt = parse_format(FLOAT8.get(dtype, dtype))
    scale = found["y_scale"].array()
    zeros = np.zeros(scale.shape, np.int64)
    if found.get("y_zero_point").value is not None:
        zeros = found["y_zero_point"].array(whole=True)
    if scale.size == 1 and zeros.size == 1:
        return _of_one(scale, zeros, fmt)
    axis = found["axis"].whole(-8, 7)
    if found.get("block_size").value is not None:
        size = found["block_size"].whole(1)
        return decided(scale, zeros, spec_of(fmt, zeros, PerBlock(axis, size)))
    if scale.ndim != 1 or zeros.shape != scale.shape:
        what = "a number, or a list of as many as there are zero points"
        raise found["y_scale"].wrong(what)
    shape = [1] * max(axis, 0) + [scale.size] + [1] * max(-axis - 1, 0)
    scale, zeros = scale.reshape(shape), zeros.reshape(shape)
    return decided(scale, zeros, spec_of(fmt, zeros, PerChannel(axis)))


def _write_0_6_1(name: str, qparams: QParams, title: str) -> list[dict[str, Any]]:
    fmt, scales, offsets = _old_parts(name, qparams, title)
    return [
        {
            "min": offset * scale,
            "max": (offset + 2**fmt.bits - 1) * scale,
            "scale": scale,
            "offset": offset,
            "bitwidth": fmt.bits,
            "dtype": "int",
            "is_symmetric": str(fmt.signed),
        }
        for scale, offset in zip(scales, offsets, strict=True)
    ]


def _write_1_0_0(name: str, qparams: QParams, title: str) -> dict[str, Any]:
    fmt, scales, offsets = _old_parts(name, qparams, title)
    return {
        "dtype": "INT",
        "bw": fmt.bits,
        "is_sym": fmt.signed,
        "scale": scales,
        "offset": offsets,
        "enc_type": "PER_CHANNEL" if len(scales) > 1 else "PER_TENSOR",
    }


def _write_2_0_0(name: str, qparams: QParams, title: str) -> dict[str, Any]:
    fmt, granularity = qparams.spec.format, qparams.spec.granularity
    theirs = {ours: name for name, ours in FLOAT8.items()}
    if isinstance(fmt, FloatFormat) and fmt.name not in theirs:
        raise HeldError(title, f"holds integers and {FLOAT8}", name, f"is {fmt.name}")
    scales, zeros = scales_of(qparams), zero_points_of(qparams)
    written: dict[str, Any] = {"output_dtype": theirs.get(fmt.name, fmt.name)}
    if scales.ndim and isinstance(granularity, PerBlock):
        written |= {"axis": granularity.axis, "block_size": granularity.size}
    elif scales.ndim:
        written["axis"] = _axis(name, scales.shape, granularity, title)
        scales, zeros = scales.reshape(-1), zeros.reshape(-1)
    written["y_scale"] = scales.tolist()
    if zeros.any():
        written["y_zero_point"] = zeros.tolist()
    return written


READ: Mapping[str, Callable[[Found], QParams | None]] = {
    "0.6.1": _read_0_6_1,
    "1.0.0": _read_1_0_0,
    "2.0.0": _read_2_0_0,
}
WRITE: Mapping[str, Callable[[str, QParams, str], Any]] = {
    "0.6.1": _write_0_6_1,
    "1.0.0": _write_1_0_0,
    "2.0.0": _write_2_0_0,
}


def _old(
    bits: Found, signed: bool, scale: list[float], offset: list[int]
) -> QParams | None:
    """Return the codes of an offset from the lowest, of unsigned ones 0."""
    if bits.whole() == BIAS_BITS:
        return None
    fmt = IntFormat(bits.whole(2, 16), signed)
    zeros = np.asarray([fmt.qmin - one for one in offset], np.int64)
    if len(scale) == len(offset) == 1:
        return _of_one(np.asarray(scale), zeros, fmt)
    return decided(scale, zeros, spec_of(fmt, zeros, PerChannel(0)))


def _of_one(scale: np.ndarray, zero_point: np.ndarray, fmt: Format) -> QParams:
    spec = spec_of(fmt, zero_point)
    return decided(scale.reshape(()), zero_point.reshape(()), spec)


def _old_parts(
    name: str, qparams: QParams, title: str
) -> tuple[IntFormat, list[float], list[int]]:
    """Return format, scales and offsets."""
    fmt, granularity = integers(name, qparams, title), qparams.spec.granularity
    scales = scales_of(qparams)
    if scales.ndim and isinstance(granularity, PerBlock):
        raise HeldError(
            title, "knows no blocks", name, f"has some of {granularity.size}"
        )
    if scales.ndim:
        _axis(name, scales.shape, granularity, title)
    offsets = (fmt.qmin - zero_points_of(qparams)).reshape(-1)
    return fmt, scales.reshape(-1).tolist(), offsets.tolist()


def _axis(
    name: str, shape: tuple[int, ...], granularity: Granularity, title: str
) -> int:
    """Return the one axis along which there are several scales."""
    axes = [axis for axis, extent in enumerate(shape) if extent > 1]
    if len(axes) != 1:
        what = f"has scales of the shape {shape}"
        raise HeldError(title, "has scales along one axis", name, what)
    if isinstance(granularity, PerChannel):
        kept = granularity.axis
        if isinstance(kept, int) and normalize_axes(kept, len(shape)) == tuple(axes):
            return kept
    return axes[0]
