"""The kinds of records by name, and which kind a file is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from qcore import QParams
from qcore.adapters.given_path import path_to_write
from qcore.adapters.records import (
    aimet,
    onnxruntime_cache,
    onnxruntime_flatbuffers,
    onnxruntime_json,
    qparams_json,
    qparams_safetensors,
    tensorrt,
)
from qcore.adapters.records.contents import PathLike, check_file
from qcore.adapters.records.json_document import read_json
from qcore.adapters.records.tensors import Tensors
from qcore.errors import FileFormatError, QuantError, nearest

HEAD = 4096
"""Bytes from which a file's kind is told, unless it is JSON."""


@dataclass(frozen=True)
class RecordFormat:
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
        Of ``read(path)`` and ``write(path, tensors)``.
    begins, says : callable or None
        Whether a file's first bytes, or the object that it holds as JSON, are of this
        kind.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    read: Callable[..., dict[str, QParams]]
    write: Callable[..., None]
    begins: Callable[[bytes], bool] | None = None
    says: Callable[[Mapping[str, Any]], bool] | None = None


def _read_onnx(path: PathLike, /) -> dict[str, QParams]:
    """Read a model; imported only now, for it needs ONNX and takes a second."""
    return import_module("qcore.adapters.records.onnx").read(path)  # type: ignore[no-any-return]


def _no_writer(*_: object) -> None:
    raise QuantError("an ONNX model is read alone; `qcore quantize` writes one.")


_ALL = (
    RecordFormat(
        *("tensorrt", tensorrt.TITLE, (".cache", ".calib")),
        *(tensorrt.read, tensorrt.write),
        begins=tensorrt.is_one,
    ),
    RecordFormat(
        *("safetensors", qparams_safetensors.TITLE, (".safetensors",)),
        *(qparams_safetensors.read, qparams_safetensors.write),
        begins=qparams_safetensors.is_one,
    ),
    RecordFormat(
        *("json", qparams_json.TITLE, (".json",)),
        *(qparams_json.read, qparams_json.write),
        says=qparams_json.is_one,
    ),
    RecordFormat(
        *("aimet", aimet.TITLE, (".encodings",)),
        *(aimet.read, aimet.write),
        says=aimet.is_one,
    ),
    RecordFormat(*("aimet-1.0.0", aimet.TITLE, ()), *(aimet.read, aimet.write_1_0_0)),
    RecordFormat(*("aimet-0.6.1", aimet.TITLE, ()), *(aimet.read, aimet.write_0_6_1)),
    RecordFormat(
        *("onnxruntime", onnxruntime_json.TITLE, ()),
        *(onnxruntime_json.read, onnxruntime_json.write),
        says=onnxruntime_json.is_one,
    ),
    RecordFormat(
        *("onnxruntime-cache", onnxruntime_cache.TITLE, (".cache",)),
        *(onnxruntime_cache.read, onnxruntime_cache.write),
        begins=onnxruntime_cache.is_one,
    ),
    RecordFormat(
        *("onnxruntime-flatbuffers", onnxruntime_flatbuffers.TITLE, (".flatbuffers",)),
        *(onnxruntime_flatbuffers.read, onnxruntime_flatbuffers.write),
        begins=onnxruntime_flatbuffers.is_one,
    ),
    RecordFormat(
        *("onnx", "quantized ONNX model", (".onnx",)), *(_read_onnx, _no_writer)
    ),
)
FORMATS: Mapping[str, RecordFormat] = {known.name: known for known in _ALL}
"""All kinds; where several have a suffix, the first is meant by a file to write."""


def read(path: PathLike, /, *, format: str | None = None) -> dict[str, QParams]:
    """
    Return what a record tells of tensors.

    Parameters
    ----------
    path : path
        The file.
    format : str, optional
        Its kind, a key of `FORMATS`; by default that is told by what is in the file,
        or else by its name.

    Returns
    -------
    dict
        From names of tensors to `QParams` of numpy, in the order of the file.

    Raises
    ------
    FileFormatError
        If the file is not of that kind, or of none.
    OSError
        If it cannot be read.
    """
    found = told(path) if format is None else find(format)
    return found.read(path)


def write(
    path: PathLike,
    tensors: Tensors,
    /,
    *,
    format: str | None = None,
    **options: object,
) -> None:
    """
    Write a record, atomically.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    tensors : mapping
        From names of tensors to `QParams` of any library.
    format : str, optional
        Its kind, a key of `FORMATS`; by default that which the end of the name means.
    **options
        What the kind has: see its module.

    Raises
    ------
    QuantError
        If the kind cannot hold a tensor; it names the first. Nothing is written.
    OSError
        If the file cannot be written.
    """
    found = meant(path) if format is None else find(format)
    found.write(path_to_write(path), tensors, **options)


def find(name: str, /) -> RecordFormat:
    """Return the kind of a name; raise QuantError if there is none."""
    if name not in FORMATS:
        raise QuantError(f"no record is of the kind {name!r}: {nearest(name, FORMATS)}")
    return FORMATS[name]


def meant(path: PathLike, /) -> RecordFormat:
    """Return the kind that the end of a name means; raise QuantError if none."""
    found = _by_suffix(path)
    if found is None:
        ends = dict.fromkeys(end for known in _ALL for end in known.suffixes)
        raise QuantError(
            f"the name of {str(path)!r} must tell what record to write, by one of "
            f"{', '.join(ends)}, or its kind must be given."
        )
    return found


def told(path: PathLike, /) -> RecordFormat:
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


def _by_suffix(path: PathLike) -> RecordFormat | None:
    name = Path(path).name.lower()
    return next((known for known in _ALL if name.endswith(known.suffixes)), None)
