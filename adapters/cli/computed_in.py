"""In which numbers a quantized model computes, in words."""

from qcore.adapters.codes import CODES
from qcore.adapters.onnx.formats import Formats


def computed_in(formats: Formats, activation: str | None) -> str:
    """Return what products compute in, given what was asked of activations."""
    spec = formats.activation
    name = "int8" if spec is None or spec.format.name in CODES else spec.format.name
    return f"floats, rounded to {activation or name}" if formats.fake else name
