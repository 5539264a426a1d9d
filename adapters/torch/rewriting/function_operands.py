"""The functions whose operands can be quantized where a module calls them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from qcore.errors import nearest

OPERANDS: Mapping[str, tuple[str, ...]] = {
    "scaled_dot_product_attention": ("query", "key", "value"),
    "linear": ("input", "weight"),
    "matmul": ("input", "other"),
    "bmm": ("input", "mat2"),
}
"""Name of a function to the names of its operands, the first ones it takes."""

NAME_OF: Mapping[Callable[..., Any], str] = {
    F.scaled_dot_product_attention: "scaled_dot_product_attention",
    F.linear: "linear",
    torch.matmul: "matmul",
    torch.Tensor.matmul: "matmul",
    torch.Tensor.__matmul__: "matmul",
    torch.bmm: "bmm",
    torch.Tensor.bmm: "bmm",
}
"""What is called, as PyTorch tells it: ``@`` is one with `Tensor.matmul`."""


def operand_names(function: str, /) -> tuple[str, ...]:
    """
    Return what the operands of a function are called.

    Raises
    ------
    ValueError
        If it is none whose operands can be quantized; names the nearest.
    """
    if function not in OPERANDS:
        raise ValueError(
            f"a function must be one whose operands can be quantized; got "
            f"{function!r}: {nearest(str(function), OPERANDS)}"
        )
    return OPERANDS[function]
