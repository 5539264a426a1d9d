"""Attributes of a quantizer of TensorRT Model Optimizer, in our words."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from qcore.adapters.torch.configuration.choices import QuantizerChoice
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.errors import nearest
from qcore.formats import parse_format
from qcore.spec import E4M3, E8M0

_FLOATS = {
    (4, 3): "float8_e4m3fn",
    (5, 2): "float8_e5m2",
    (3, 2): "float6_e3m2fn",
    (2, 3): "float6_e2m3fn",
    (2, 1): "float4_e2m1fn",
}
"""Widths of exponent and mantissa to our names."""

_SCALES = {(8, 0): E8M0, (4, 3): E4M3}

_LACKED = {
    "backend": None,
    "backend_extra_args": None,
    "bias": None,
    "fake_quant": True,
    "rotate": False,
    "trt_high_precision_dtype": "Float",
}
"""Attributes that change results and that we lack, with their defaults."""

_IGNORED = ("effective_bits", "pass_through_bwd")
"""A cost for a search we do not do; and a gradient that here always is clipped."""

_KNOWN = (
    "num_bits",
    "axis",
    "enable",
    "unsigned",
    "narrow_range",
    "learn_amax",
    "type",
    "block_sizes",
    "calibrator",
    "constant_amax",
    "use_constant_amax",
    *_LACKED,
    *_IGNORED,
)


def plain(given: Any, /) -> Any:
    """Return an object of pydantic as the mapping of what was set in it."""
    if hasattr(given, "model_dump"):
        return given.model_dump(exclude_unset=True)
    return given


def quantizer_of(
    attributes: Mapping[str, Any], method: str, module: nn.Module | None, of: str, /
) -> QuantizerChoice:
    """
    Return how a quantizer with attributes is made.

    Parameters
    ----------
    attributes : mapping
        As of `QuantizerAttributeConfig`.
    method : str
        How static ranges are calibrated.
    module : Module or None
        The layer it is for; None for a check alone.
    of : str
        What it quantizes: ``"input"``, ``"weight"`` and so on.

    Raises
    ------
    TypeError, ValueError
        If there is an attribute that we lack; names it.
    """
    for key, value in attributes.items():
        if key not in _KNOWN:
            raise ValueError(
                f"an attribute must be a known one; got {key!r}: "
                f"{nearest(str(key), _KNOWN)}"
            )
        if key in _LACKED and plain(value) not in (_LACKED[key], None, {}):
            raise ValueError(
                f"attribute {key!r} must be {_LACKED[key]!r}, as nothing else is "
                f"supported; got {value!r}."
            )
    blocks = dict(attributes.get("block_sizes") or {})
    kinds = {attributes.get("type", "static"), blocks.pop("type", "static")}
    if not kinds <= {"static", "dynamic"}:
        raise ValueError(f"`type` must be 'static' or 'dynamic'; got {sorted(kinds)}.")
    axis = attributes.get("axis")
    descriptor = ScaledQuantDescriptor(
        **_format(attributes.get("num_bits", 8)),
        **_blocks(blocks, module, of),
        axis=tuple(axis) if isinstance(axis, list) else axis,
        unsigned=attributes.get("unsigned", False),
        narrow_range=attributes.get("narrow_range", False),
        learn_amax=attributes.get("learn_amax", False),
        amax=_amax(attributes),
        calib_method=_method(attributes.get("calibrator", "max"), method),
    )
    return QuantizerChoice(descriptor, "dynamic" in kinds)


def _format(num_bits: Any) -> dict[str, Any]:
    if not isinstance(num_bits, list | tuple):
        return {"num_bits": num_bits}
    if tuple(num_bits) not in _FLOATS:
        raise ValueError(
            f"attribute 'num_bits' must be an integer or one of {tuple(_FLOATS)}; got "
            f"{num_bits!r}."
        )
    return {"format": _FLOATS[tuple(num_bits)]}


def _amax(attributes: Mapping[str, Any]) -> float | None:
    if attributes.get("use_constant_amax"):
        return float(parse_format(E4M3).max)  # as there
    found = attributes.get("constant_amax")
    return None if found is None else float(found)


def _method(calibrator: Any, method: str) -> str:
    """Return the method; histograms have one of their own if told to take the max."""
    if calibrator not in ("max", "histogram"):
        raise ValueError(
            f"attribute 'calibrator' must be 'max' or 'histogram'; got {calibrator!r}."
        )
    return "mse" if (calibrator, method) == ("histogram", "max") else method


def _blocks(
    blocks: dict[Any, Any], module: nn.Module | None, of: str
) -> dict[str, Any]:
    """Return blocks and the format of their scales."""
    if not blocks:
        return {}
    found: dict[str, Any] = {}
    bits = blocks.pop("scale_bits", None)
    if bits is not None:
        if tuple(bits) not in _SCALES:
            raise ValueError(
                f"attribute 'block_sizes' must have `scale_bits` of {tuple(_SCALES)}; "
                f"got {bits!r}."
            )
        found["scale_format"] = _SCALES[tuple(bits)]
    sizes = {int(axis): size for axis, size in blocks.items() if _is_axis(axis)}
    others = [key for key, value in blocks.items() if not _is_axis(key) and value]
    if others or len(sizes) != 1:
        raise ValueError(
            f"attribute 'block_sizes' must have the length of blocks along one axis; "
            f"got {blocks!r}."
        )
    ((axis, size),) = sizes.items()
    if size is None:
        size = _length(axis, module, of)
    return {**found, "block_sizes": {axis: size}}


def _is_axis(key: Any) -> bool:
    return isinstance(key, int) or str(key).removeprefix("-").isdecimal()


def _length(axis: int, module: nn.Module | None, of: str) -> int:
    """Return the length of an axis, which is then one block."""
    if module is None:
        return 1
    weight = getattr(module, "weight", None)
    if of == "weight" and weight is not None:
        return int(weight.shape[axis])
    if axis == -1 and isinstance(module, nn.Linear):
        return module.out_features if of == "output" else module.in_features
    raise ValueError(
        f"attribute 'block_sizes' must have a length for axis {axis} of the {of} of "
        f"{type(module).__name__}; got None."
    )
