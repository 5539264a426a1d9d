"""Encodings of AIMET (AI Model Efficiency Toolkit) as JSON: versions 0.6.1 to 2.0.0.

The two older ones count offsets from the lowest code of as many bits, unsigned:
``offset = qmin - zero_point``; they tell no axis. The newest has the zero points,
axes and blocks of ONNX.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from qcore import QParams
from qcore.adapters.records import aimet_entries as entries
from qcore.adapters.records.contents import PathLike
from qcore.adapters.records.json_document import Found, read_json, to_bytes
from qcore.adapters.records.tensors import Tensors, checked, scales_of
from qcore.errors import FileFormatError, QuantError
from qcore.files import written_atomically

TITLE = "file of AIMET encodings"
VERSIONS = ("0.6.1", "1.0.0", "2.0.0")
PARTS = ("activation_encodings", "param_encodings")
"""Where versions before 2.0.0 have the encodings."""


def read(path: PathLike, /) -> dict[str, QParams]:
    """
    Return the encodings in a file.

    Parameters
    ----------
    path : path
        A file of AIMET's, or that `write` wrote.

    Returns
    -------
    dict
        From names to `QParams` of numpy, in the order of the file. Several scales along
        an axis have the axes before it and none behind it, which no file tells of; if
        it does not tell the axis either, that is 0. What stays float and int32, which
        biases are, is left out.

    Raises
    ------
    FileFormatError
        If the file is not one of encodings; it names the key.
    OSError
        If the file cannot be read.
    """
    document = read_json(path, TITLE)
    version = _version(document)
    found: dict[str, QParams] = {}
    for name, one in _listed(document, version):
        if name in found:
            raise one.said(f"the tensor {name!r} is there twice")
        try:
            qparams = entries.READ[version](one)
        except FileFormatError:
            raise
        except (TypeError, ValueError) as error:  # what a spec says of its fields
            raise one.said(f"{error}".removesuffix(".")) from error
        if qparams is not None:
            found[name] = qparams
    return found


def write(path: PathLike, tensors: Tensors, /, *, version: str = "2.0.0") -> None:
    """
    Write encodings, atomically.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    tensors : mapping
        From names to `QParams`: integers, or float8 in version 2.0.0; per tensor,
        channel or, in 2.0.0, block. Before 2.0.0, those with several scales are
        written among the parameters and all others among the activations; AIMET looks
        for a name in both.
    version : str, optional
        Of the form: a member of `VERSIONS`.

    Raises
    ------
    QuantError
        If a tensor is quantized otherwise; it names the first. If there is no such
        version.
    TypeError
        If it is no such mapping.
    OSError
        If the file cannot be written.
    """
    if version not in VERSIONS:
        raise QuantError(f"`version` must be one of {VERSIONS}; got {version!r}.")
    title = f"{TITLE} {version}"
    written = {
        name: entries.WRITE[version](name, one, title)
        for name, one in checked(tensors, title)
    }
    document: dict[str, Any] = {"producer": {"package": "qcore"}, "version": version}
    if version == "2.0.0":
        document["encodings"] = [_named(*item) for item in written.items()]
    else:
        for part in PARTS:
            chosen = {
                name: encoding
                for name, encoding in written.items()
                if (scales_of(tensors[name]).ndim > 0) == (part == PARTS[1])
            }
            document[part] = chosen
            if version == "1.0.0":
                document[part] = [_named(*item) for item in chosen.items()]
    with written_atomically(path) as file:
        file.write(to_bytes(document))


def is_one(document: Mapping[str, Any], /) -> bool:
    """Return whether an object is such a file."""
    return any(part in document for part in PARTS) or (
        "encodings" in document and "version" in document
    )


def _named(name: str, encoding: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, **encoding}


def _version(document: Found) -> str:
    """Return the version of a document; the oldest files do not tell theirs."""
    version = document.get("version", VERSIONS[0]).text()
    if version not in VERSIONS:
        raise document["version"].wrong(f"one of {', '.join(VERSIONS)}")
    return version


def _listed(document: Found, version: str) -> list[tuple[str, Found]]:
    """Return names and encodings."""
    if version == "2.0.0":
        return [(one["name"].text(), one) for one in document["encodings"].items()]
    found: list[tuple[str, Found]] = []
    for part in PARTS:
        if part not in document:
            continue
        if version == "0.6.1":
            found += document[part].entries()
        else:
            found += [(one["name"].text(), one) for one in document[part].items()]
    return found


write_0_6_1, write_1_0_0 = (partial(write, version=old) for old in VERSIONS[:2])
"""`write` of the older versions."""
