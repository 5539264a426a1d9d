"""Scales and zero points in files: safetensors, readable on any library.

Arrays are stored under ``"<name>.scale"``, ``"<name>.zero_point"`` and
``"<name>.global_scale"``, as float32 and int32. The header's ``qcore`` entry is JSON:
the file's version, and name and spec of each, in their order.
"""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from qcore.files import VERSION, read_arrays, write_arrays
from qcore.formats import IntFormat, parse_format
from qcore.libraries import namespace
from qcore.spec import QParams, QuantSpec
from qcore.statistics.describe import describe_granularity, described_granularity
from qcore.transfer import from_host, to_host
from qcore.typing import Device, Namespace

_DTYPES = {"scale": "float32", "zero_point": "int32", "global_scale": "float32"}


def save_qparams(
    path: str | os.PathLike[str], qparams: Mapping[str, QParams], /
) -> None:
    """
    Write scales and zero points to a file, atomically.

    Parameters
    ----------
    path : path
        The file; an old one is replaced once the new one is whole.
    qparams : mapping
        From names, such as those of tensors, to `QParams` of any library.

    Raises
    ------
    TypeError
        If a name is not a string or a value not `QParams`.
    OSError
        If the file cannot be written.
    """
    arrays: dict[str, Any] = {}
    described = []
    for name, one in qparams.items():
        if not isinstance(name, str):
            raise TypeError(f"`qparams` must have strings for names; got {name!r}.")
        if not isinstance(one, QParams):
            raise TypeError(
                f"`qparams` must hold QParams; got {type(one).__name__} for {name!r}."
            )
        xp = namespace(one.scale)
        for field, dtype in _DTYPES.items():
            if (values := getattr(one, field)) is not None:
                whole = xp.astype(values, getattr(xp, dtype))
                arrays[f"{name}.{field}"] = to_host(whole, xp=xp)
        described.append({"name": name, **_describe(one.spec)})
    write_arrays(path, arrays, {"version": VERSION, "qparams": described})


def load_qparams(
    path: str | os.PathLike[str],
    /,
    *,
    xp: Namespace | None = None,
    device: Device | None = None,
) -> dict[str, QParams]:
    """
    Read scales and zero points from a file.

    Parameters
    ----------
    path : path
        A file that `save_qparams` wrote.
    xp : namespace, optional
        The library whose arrays they shall be; numpy by default.
    device : device, optional
        One of that library.

    Returns
    -------
    dict
        From names to `QParams`, in the order they were saved.

    Raises
    ------
    FileFormatError
        If the file is not one of qparams, is damaged, or is of a later version.
    OSError
        If the file cannot be read.
    """
    with read_arrays(path, "qparams") as (arrays, header):
        return {
            one["name"]: _read(one, arrays, xp, device) for one in header["qparams"]
        }


def _describe(spec: QuantSpec) -> dict[str, Any]:
    """Return a spec as JSON can hold it."""
    settings = {field.name: getattr(spec, field.name) for field in fields(spec)}
    fmt = settings.pop("format")
    granularity = settings.pop("granularity")
    return {
        "format": fmt.name,
        "narrow": isinstance(fmt, IntFormat) and fmt.narrow,
        "granularity": describe_granularity(granularity),
        "settings": settings,
    }


def _described(description: Mapping[str, Any]) -> QuantSpec:
    fmt = parse_format(description["format"])
    if description["narrow"]:
        assert isinstance(fmt, IntFormat)
        fmt = IntFormat(fmt.bits, fmt.signed, True)
    granularity = described_granularity(description["granularity"])
    return QuantSpec(fmt, granularity, **description["settings"])


def _read(
    description: Mapping[str, Any],
    arrays: Mapping[str, Any],
    xp: Namespace | None,
    device: Device | None,
) -> QParams:
    """Return what a description tells of, as arrays of a library."""
    name, spec = description["name"], _described(description)
    scale, zero_point = arrays[f"{name}.scale"], arrays[f"{name}.zero_point"]
    if scale.shape != zero_point.shape:
        raise ValueError(f"{name} with {scale.shape} and {zero_point.shape}")
    xp = namespace(scale) if xp is None else xp
    scale = from_host(scale, xp, device)
    # A library without the dtype keeps its numbers in float32.
    scale = xp.astype(scale, getattr(xp, spec.scale_dtype, xp.float32))
    level = arrays.get(f"{name}.global_scale")
    return QParams(
        scale,
        from_host(zero_point, xp, device),
        spec,
        None if level is None else from_host(level, xp, device),
    )
