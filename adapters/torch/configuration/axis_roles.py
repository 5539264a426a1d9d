"""Axes by what they are for, as their numbers differ from layer to layer."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

from qcore.adapters.torch.calib.weights import weight_axis

ROLES = ("input", "output")
"""Of channels: those that products are summed over, and those that come out."""


def with_axes(
    keywords: Mapping[str, Any], module: nn.Module | None, of: str, /
) -> dict[str, Any]:
    """
    Return keywords of a descriptor with numbers for named axes.

    Parameters
    ----------
    keywords : mapping
        `axis` may be, and `block_sizes` may map, ``"input"`` or ``"output"``.
    module : Module or None
        The layer; None to get any axis, for a check.
    of : str
        ``"weight"``, or what activation it is.
    """
    found = dict(keywords)
    axis = found.get("axis")
    if isinstance(axis, str):
        found["axis"] = _number(axis, module, of)
    if isinstance(axis, list):  # as text has it
        found["axis"] = tuple(axis)
    if isinstance(blocks := found.get("block_sizes"), Mapping):
        found["block_sizes"] = {
            _number(axis, module, of) if isinstance(axis, str) else axis: size
            for axis, size in blocks.items()
        }
    return found


def _number(role: str, module: nn.Module | None, of: str) -> int:
    if role not in ROLES or (role, of) == ("output", "input"):
        allowed = "'input'" if of == "input" else "'input' or 'output'"
        raise ValueError(
            f"an axis of the {of} must be a number or {allowed}; got {role!r}."
        )
    if of == "weight":
        output = 0 if module is None else weight_axis(module)
        return output if role == "output" else 1 - output
    return channel_axis(module)


def channel_axis(module: nn.Module | None, /) -> int:
    """Return the axis of channels in what a layer takes and gives.

    It counts from the end, for a batch axis may be missing.
    """
    return -1 - len(module.kernel_size) if isinstance(module, _ConvNd) else -1
