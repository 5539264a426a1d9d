"""qcore's own record as text: all that `QParams` have, as JSON.

Numbers are written in full, so that every scale comes back bit for bit.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from qcore import IntFormat, QParams, QuantSpec, parse_format
from qcore.adapters.records.contents import PathLike
from qcore.adapters.records.json_document import Found, read_json, to_bytes
from qcore.adapters.records.tensors import Tensors, decided, usable
from qcore.errors import FileFormatError
from qcore.files import written_atomically
from qcore.libraries import arithmetic, namespace
from qcore.statistics.describe import describe_granularity, described_granularity
from qcore.transfer import to_host

TITLE = "file of qparams"
VERSION = 1

_SETTINGS = ("symmetric", "rounding", "scale_dtype", "scale_rounding", "scale_format")


def read(path: PathLike, /) -> dict[str, QParams]:
    """
    Return the qparams in a file.

    Parameters
    ----------
    path : path
        A file that `write` wrote.

    Returns
    -------
    dict
        From names to `QParams` of numpy, in the order of the file.

    Raises
    ------
    FileFormatError
        If the file is not one of qparams, or of a later version; it names the key.
    OSError
        If the file cannot be read.
    """
    document = read_json(path, TITLE)
    if document["qcore"].text() != "qparams":
        raise document["qcore"].wrong("'qparams'")
    if document["version"].whole(1) > VERSION:
        raise document["version"].wrong(f"{VERSION} at most: a later qcore wrote it")
    return {name: _read(one) for name, one in document["tensors"].entries()}


def write(path: PathLike, tensors: Tensors, /) -> None:
    """
    Write qparams to a file, atomically.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    tensors : mapping
        From names to `QParams` of any kind and library.

    Raises
    ------
    QuantError
        If a scale is not usable; it names the first such tensor.
    TypeError
        If it is no such mapping.
    OSError
        If the file cannot be written.
    """
    written = {name: _written(one) for name, one in usable(tensors, TITLE)}
    document = {"qcore": "qparams", "version": VERSION, "tensors": written}
    with written_atomically(path) as file:
        file.write(to_bytes(document))


def is_one(document: Mapping[str, Any], /) -> bool:
    """Return whether an object is such a file."""
    return "qcore" in document


def _read(found: Found) -> QParams:
    settings = {name: found[name].value for name in _SETTINGS}
    scale, zero_point = found["scale"].array(), found["zero_point"].array(whole=True)
    try:
        fmt = parse_format(found["format"].text())
        if isinstance(fmt, IntFormat) and found["narrow"].flag():
            fmt = IntFormat(fmt.bits, fmt.signed, narrow=True)
        granularity = described_granularity(found["granularity"].mapping())
        one = decided(scale, zero_point, QuantSpec(fmt, granularity, **settings))
    except FileFormatError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise found.said(f"{error}".removesuffix(".")) from error
    if found.get("global_scale").value is None:
        return one
    level = found["global_scale"].array().astype(np.float32)
    return QParams(one.scale, one.zero_point, one.spec, level)


def _written(one: QParams) -> dict[str, Any]:
    spec = one.spec
    written = {
        "format": spec.format.name,
        "narrow": isinstance(spec.format, IntFormat) and spec.format.narrow,
        "granularity": describe_granularity(spec.granularity),
        **{name: getattr(spec, name) for name in _SETTINGS},
        "scale": _numbers(one.scale, "float32"),
        "zero_point": _numbers(one.zero_point, "int32"),
    }
    if one.global_scale is not None:
        written["global_scale"] = _numbers(one.global_scale, "float32")
    return written


def _numbers(x: Any, dtype: str) -> Any:
    """Return an array as nested lists."""
    xp = namespace(x)
    with arithmetic(xp):
        return np.asarray(to_host(xp.astype(x, getattr(xp, dtype)), xp=xp)).tolist()
