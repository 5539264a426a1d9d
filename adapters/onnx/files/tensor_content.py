"""Whether constants in a file hold as much as they claim."""

from math import prod

import onnx
import onnx_ir as ir

from qcore.errors import QuantError


def tensor_bytes(tensor: onnx.TensorProto, /) -> int:
    """
    Return how many bytes the elements of a tensor take.

    Raises
    ------
    QuantError
        If it has no known type or an extent is negative.
    """
    try:
        bits = ir.DataType(tensor.data_type).bitwidth
    except (TypeError, ValueError) as error:  # undefined, of strings, or no type at all
        raise QuantError(
            f"tensor {tensor.name!r} of the model must be of numbers; its type is "
            f"{tensor.data_type}."
        ) from error
    if min(tensor.dims, default=0) < 0:
        raise QuantError(
            f"tensor {tensor.name!r} of the model must have extents of at least 0; got "
            f"{list(tensor.dims)}."
        )
    return (prod(tensor.dims) * bits + 7) // 8


def check_content(tensor: onnx.TensorProto, /) -> None:
    """Raise QuantError where a tensor holds less, or more, than its shape takes."""
    if tensor.data_type == onnx.TensorProto.STRING:
        needed, held, unit = prod(tensor.dims), len(tensor.string_data), "strings"
    elif tensor.data_location == onnx.TensorProto.EXTERNAL:
        return
    else:
        needed, held, unit = tensor_bytes(tensor), len(tensor.raw_data), "bytes"
        if not tensor.HasField("raw_data"):
            needed, held, unit = _numbers(tensor, needed)
    if held != needed:
        raise QuantError(
            f"tensor {tensor.name!r} of the model must hold {needed} {unit} for its "
            f"shape {list(tensor.dims)}; it holds {held}."
        )


def _numbers(tensor: onnx.TensorProto, size: int) -> tuple[int, int, str]:
    """Return how many numbers a tensor must hold that lists them, and does."""
    kind = ir.DataType(tensor.data_type)
    held = len(getattr(tensor, onnx.helper.tensor_dtype_to_field(tensor.data_type)))
    if kind in {ir.DataType.COMPLEX64, ir.DataType.COMPLEX128}:
        return 2 * prod(tensor.dims), held, "numbers"
    # Several of less than 8 bits are packed into one.
    return (size if kind.bitwidth < 8 else prod(tensor.dims)), held, "numbers"
