"""The 8-bit codes that models compute on, and which codes activations get."""

from qcore import FloatFormat, QuantSpec, parse_format

CODES = ("int8", "uint8")


def activation_spec(activation: str | QuantSpec | None, symmetric: bool) -> QuantSpec:
    """Return how activations are to be quantized: in uint8, or int8 if symmetric."""
    if isinstance(activation, QuantSpec):
        return activation
    fmt = parse_format(activation or ("int8" if symmetric else "uint8"))
    # Floats have no zero points.
    return QuantSpec(fmt, symmetric=symmetric or isinstance(fmt, FloatFormat))
