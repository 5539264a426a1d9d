"""The kinds of records by name, and which kind a file is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from qcore import QParams
from qcore.adapters.records import (
    aimet,
    compressed_tensors,
    onnxruntime_cache,
    onnxruntime_flatbuffers,
    onnxruntime_json,
    qparams_json,
    qparams_safetensors,
    statistics,
    tensorrt,
)
from qcore.adapters.records.contents import PathLike, check_file
from qcore.adapters.records.json_document import read_json
from qcore.errors import FileFormatError, QuantError, nearest

HEAD = 4096
"""Bytes from which a file's kind is told, unless it is JSON."""


@dataclass(frozen=True)
class Kind:
    """A kind of record.

    Attributes
    ----------
    name : str
        By which it is asked for.
    title : str
        What it is, in sentences.
    suffixes : tuple of str
        Ends of file names that mean this kind.
    read, write : callable
        Of ``read(path)`` and ``write(path, tensors)``; None if it is read alone.
    begins, says : callable or None
        Whether a file's first bytes, or the object that it holds as JSON, are of this
        kind.
    tells_ranges : bool
        Whether it is for ``read(path, spec=...)`` to say of which codes.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    read: Callable[..., dict[str, QParams]]
    write: Callable[..., None] | None
    begins: Callable[[bytes], bool] | None = None
    says: Callable[[Mapping[str, Any]], bool] | None = None
    tells_ranges: bool = False


def _read_onnx(path: PathLike, /) -> dict[str, QParams]:
    """Read a model; imported only now, for it needs ONNX and takes a second."""
    return import_module("qcore.adapters.records.onnx").read(path)  # type: ignore[no-any-return]


_ALL = (
    Kind(
        *("tensorrt", tensorrt.TITLE, (".cache", ".calib")),
        *(tensorrt.read, tensorrt.write),
        begins=tensorrt.is_one,
    ),
    Kind(
        *("statistics", statistics.TITLE, ()),
        *(statistics.read, None),
        begins=statistics.is_one,
        tells_ranges=True,
    ),
    Kind(
        *("safetensors", qparams_safetensors.TITLE, (".safetensors",)),
        *(qparams_safetensors.read, qparams_safetensors.write),
        begins=qparams_safetensors.is_one,
    ),
    Kind(
        *("json", qparams_json.TITLE, (".json",)),
        *(qparams_json.read, qparams_json.write),
        says=qparams_json.is_one,
    ),
    Kind(
        *("aimet", aimet.TITLE, (".encodings",)),
        *(aimet.read, aimet.write),
        says=aimet.is_one,
    ),
    Kind(*("aimet-1.0.0", aimet.TITLE, ()), *(aimet.read, aimet.write_1_0_0)),
    Kind(*("aimet-0.6.1", aimet.TITLE, ()), *(aimet.read, aimet.write_0_6_1)),
    Kind(
        *("compressed-tensors", compressed_tensors.TITLE, ()),
        *(compressed_tensors.read, compressed_tensors.write),
        says=compressed_tensors.is_one,
    ),
    Kind(
        *("onnxruntime", onnxruntime_json.TITLE, ()),
        *(onnxruntime_json.read, onnxruntime_json.write),
        says=onnxruntime_json.is_one,
        tells_ranges=True,
    ),
    Kind(
        *("onnxruntime-cache", onnxruntime_cache.TITLE, (".cache",)),
        *(onnxruntime_cache.read, onnxruntime_cache.write),
        begins=onnxruntime_cache.is_one,
    ),
    Kind(
        *("onnxruntime-flatbuffers", onnxruntime_flatbuffers.TITLE, (".flatbuffers",)),
        *(onnxruntime_flatbuffers.read, onnxruntime_flatbuffers.write),
        begins=onnxruntime_flatbuffers.is_one,
    ),
    Kind(
        *("onnx", "quantized ONNX model", (".onnx",)),
        *(_read_onnx, None),
    ),
)
KINDS: Mapping[str, Kind] = {known.name: known for known in _ALL}
"""All kinds; where several have a suffix, the first is meant by a file to write."""


def find(name: str, /) -> Kind:
    """Return the kind of a name; raise QuantError if there is none."""
    if name not in KINDS:
        raise QuantError(f"no record is of the kind {name!r}: {nearest(name, KINDS)}")
    return KINDS[name]


def meant(path: PathLike, /) -> Kind:
    """Return the kind that the end of a name means; raise QuantError if none."""
    found = _by_suffix(path)
    if found is None:
        kinds = (known for known in _ALL if known.write is not None)
        ends = dict.fromkeys(end for known in kinds for end in known.suffixes)
        raise QuantError(
            f"the name of {str(path)!r} must tell what record to write, by one of "
            f"{', '.join(ends)}, or its kind must be given."
        )
    return found


def told(path: PathLike, /) -> Kind:
    """
    Return the kind of a file, told by what is in it, or else by its name.

    Raises
    ------
    FileFormatError
        If it is of none.
    OSError
        If it cannot be read.
    """
    with check_file(path, "record").open("rb") as file:
        head = file.read(HEAD)
    for known in _ALL:
        if known.begins is not None and known.begins(head):
            return known
    if head.lstrip().startswith(b"{"):
        document = read_json(path, "record").mapping()
        for known in _ALL:
            if known.says is not None and known.says(document):
                return known
    elif (found := _by_suffix(path)) is not None:
        return found
    raise FileFormatError(f"{path} must be a record of a known kind; it is of none.")


def _by_suffix(path: PathLike) -> Kind | None:
    name = Path(path).name.lower()
    return next((known for known in _ALL if name.endswith(known.suffixes)), None)
