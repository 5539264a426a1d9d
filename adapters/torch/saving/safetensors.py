"""Tensors and a header in one file, which any reader of safetensors understands."""

import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from qcore.adapters.given_path import path_of_file
from qcore.errors import FileFormatError
from qcore.files import written_atomically

_HEADER = "qcore"


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, torch.Tensor],
    header: Mapping[str, Any],
    /,
) -> None:
    """Write tensors of any device and a header of plain data, atomically."""
    metadata = {_HEADER: json.dumps(header)}
    content = to_bytes({name: _whole(x) for name, x in tensors.items()}, metadata)
    with written_atomically(path) as file:
        file.write(content)


def read_tensors(
    path: str | os.PathLike[str], /
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """
    Return the tensors of a file, on the host, and its header.

    Raises
    ------
    TypeError, IsADirectoryError
        If `path` is none, or a folder.
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is no safetensors file, or one with another header.
    """
    if not path_of_file(path).is_file():
        raise FileNotFoundError(f"{path} must be a saved model; there is no such file.")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "null"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise FileFormatError(
            f"{path} must be a saved model; it is no safetensors file ({error})."
        ) from error
    if not isinstance(header, dict):
        raise FileFormatError(f"{path} must be a saved model; it holds other tensors.")
    return tensors, header


def _whole(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor that fills its own memory, on the host."""
    x = x.detach().cpu().contiguous()
    return x if x.untyped_storage().nbytes() == x.nbytes else x.clone()
