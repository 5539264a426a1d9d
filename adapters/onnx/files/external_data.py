"""Weights in other files: they must be there, in the model's folder, and whole."""

from pathlib import Path

import onnx

from qcore.adapters.onnx.files.messages import tensors
from qcore.adapters.onnx.files.tensor_content import tensor_bytes
from qcore.errors import QuantError


def external_tensors(model: onnx.ModelProto, /) -> list[onnx.TensorProto]:
    """Return the tensors of a model that other files hold."""
    kind = onnx.TensorProto.EXTERNAL
    return [tensor for tensor in tensors(model) if tensor.data_location == kind]


def check_external_data(model: onnx.ModelProto, path: Path, /) -> None:
    """
    Raise unless the files with weights of the model at a path hold what it needs.

    They lie in its folder or below: a model must not read other files of who opens it.
    A link may lead to where the model's own leads, as in the cache of a model hub.

    Raises
    ------
    QuantError
        It names tensor and file.
    """
    allowed = {path.parent.resolve(), path.resolve().parent}
    for tensor in external_tensors(model):
        place = {entry.key: entry.value for entry in tensor.external_data}
        location = place.get("location", "")
        file = path.parent / location
        if not location or "\0" in location:
            raise QuantError(f"{_shown(tensor)} names no file; got {location!r}.")
        is_inside = any(folder in file.resolve().parents for folder in allowed)
        if (
            Path(location).is_absolute()
            or ".." in Path(location).parts
            or not is_inside
        ):
            raise QuantError(
                f"{_shown(tensor)} must lie in the folder of the model; got "
                f"{location!r}, which is outside."
            )
        if not file.is_file():
            raise QuantError(
                f"{_shown(tensor)} lie in {str(file)!r}, which is no file."
            )
        _check_extent(tensor, place, file)


def _check_extent(tensor: onnx.TensorProto, place: dict[str, str], file: Path) -> None:
    """Raise unless a file is long enough."""
    needed = tensor_bytes(tensor)
    start, length = place.get("offset", "0"), place.get("length", str(needed))
    size = file.stat().st_size
    is_whole = start.isdecimal() and length.isdecimal() and int(length) == needed
    if not is_whole or int(start) + needed > size:
        raise QuantError(
            f"{_shown(tensor)} must be {needed} bytes for its shape "
            f"{list(tensor.dims)}; got {length} from {start} on, of a file of {size}."
        )


def _shown(tensor: onnx.TensorProto) -> str:
    return f"the model's weights {tensor.name!r}"
