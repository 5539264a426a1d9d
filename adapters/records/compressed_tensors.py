"""Configurations of compressed-tensors, with the scales in a file beside.

The configuration, ``quantization_config`` in the ``config.json`` of a model or alone,
groups modules that are quantized alike; their scales are ``MODULE.weight_scale`` and
the like in a safetensors file. The tensors are called ``MODULE.weight``,
``MODULE.input`` and ``MODULE.output``. Zero points are those of signed codes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qcore import QParams
from qcore.adapters.records import compressed_tensors_args as args
from qcore.adapters.records.contents import PathLike
from qcore.adapters.records.json_document import Found, read_json, to_bytes
from qcore.adapters.records.safetensors_file import read_tensors
from qcore.adapters.records.tensors import HeldError, Tensors, checked
from qcore.errors import FileFormatError
from qcore.files import write_arrays, written_atomically

TITLE = "configuration of compressed-tensors"
FIELDS = {
    "weight": "weights",
    "input": "input_activations",
    "output": "output_activations",
}
"""What of a module is quantized, and the field of a group that tells how."""


def read(path: PathLike, /) -> dict[str, QParams]:
    """
    Return the scales of a configuration.

    Parameters
    ----------
    path : path
        The configuration. The scales are in the file beside it that `side_file` names,
        or else in ``model.safetensors``. Where there are several groups, each module
        must be named by its own.

    Returns
    -------
    dict
        From names of tensors to `QParams` of numpy, in the order of the safetensors.

    Raises
    ------
    FileFormatError
        If a file is not as it should be; it names the key.
    OSError
        If a file cannot be read.
    """
    document = read_json(path, TITLE)
    if "quantization_config" in document:
        document = document["quantization_config"]
    groups = [group for _, group in document["config_groups"].entries()]
    beside = side_file(path)
    if not beside.is_file():
        beside = Path(path).with_name("model.safetensors")
    if not beside.is_file():
        raise FileFormatError(
            f"{path} must have its scales beside it, in {side_file(path).name} or "
            f"{beside.name}; there is no such file."
        )
    title = "file of scales of compressed-tensors"
    arrays = read_tensors(beside, title, _is_ours)
    found = {}
    for key, scale in arrays.items():
        name, _, last = key.rpartition("_")
        if last != "scale":
            continue
        module, _, role = name.rpartition(".")
        group = _group_of(module, groups, document)
        zero_point = arrays.get(f"{name}_zero_point")
        try:
            found[name] = args.read(group[FIELDS[role]], scale, zero_point)
        except FileFormatError:
            raise
        except (TypeError, ValueError) as error:  # what a spec says of its fields
            expected = f"{beside} must be a {title}"
            raise FileFormatError(f"{expected}; {key}: {error}.") from error
    return found


def write(path: PathLike, tensors: Tensors, /) -> None:
    """
    Write a configuration and the scales, each file atomically.

    Parameters
    ----------
    path : path
        The configuration, alone; its folder must exist. The scales are written to
        `side_file`, in the shapes in which modules of compressed-tensors load them.
    tensors : mapping
        From ``MODULE.weight``, ``MODULE.input`` and ``MODULE.output`` to `QParams`:
        integers or float8_e4m3fn; weights, of two axes, per channel of the first or
        per block of the last, too. Unsigned codes become signed ones of the same reals.

    Raises
    ------
    QuantError
        If a tensor is quantized otherwise, or named otherwise; it names the first.
    TypeError
        If it is no such mapping.
    OSError
        If a file cannot be written.
    """
    arrays: dict[str, Any] = {}
    modules: dict[str, dict[str, Any]] = {}
    for name, one in checked(tensors, TITLE):
        module, _, role = name.rpartition(".")
        if not module or role not in FIELDS:
            called = ", ".join(f"MODULE.{known}" for known in FIELDS)
            raise HeldError(TITLE, f"has {called}", name, "is called otherwise")
        how, scale, zero_point = args.written(name, one, role == "weight", TITLE)
        modules.setdefault(module, {})[FIELDS[role]] = how
        arrays[f"{name}_scale"] = scale
        if zero_point is not None:
            arrays[f"{name}_zero_point"] = zero_point
    schemes: list[dict[str, Any]] = []
    targets: list[list[str]] = []
    for module, scheme in modules.items():
        if scheme not in schemes:
            schemes.append(scheme)
            targets.append([])
        targets[schemes.index(scheme)].append(module)
    groups = {
        f"group_{number}": {"targets": names, **scheme}
        for number, (names, scheme) in enumerate(zip(targets, schemes, strict=True))
    }
    document = {
        "quant_method": "compressed-tensors",
        "format": "dense",
        "quantization_status": "frozen",
        "config_groups": groups,
        "ignore": [],
    }
    write_arrays(side_file(path), arrays, {"scales": "compressed-tensors"})
    with written_atomically(path) as file:
        file.write(to_bytes(document))


def side_file(path: PathLike, /) -> Path:
    """Return where the scales of a configuration lie: ``a.scales.safetensors``."""
    return Path(path).with_suffix(".scales.safetensors")


def is_one(document: Mapping[str, Any], /) -> bool:
    """Return whether an object is, or has, such a configuration."""
    return "config_groups" in document or "quantization_config" in document


def _is_ours(key: str) -> bool:
    """Return whether a tensor of a model is a scale or a zero point."""
    roles = tuple(
        f".{role}_{part}" for role in FIELDS for part in ("scale", "zero_point")
    )
    return key.endswith(roles)


def _group_of(module: str, groups: list[Found], document: Found) -> Found:
    """Return the group of a module: the only one, or that which names it."""
    if len(groups) == 1:
        return groups[0]
    for group in groups:
        if any(target.value == module for target in group["targets"].items()):
            return group
    raise document["config_groups"].said(f"no group names the module {module!r}")
