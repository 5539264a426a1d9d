"""The 8-bit codes that models compute on, and which of them activations get."""

from qcore import QuantSpec
from qcore.errors import QuantError

CODES = ("int8", "uint8")


def activation_spec(activation: str | QuantSpec | None, symmetric: bool) -> QuantSpec:
    """Return how activations are to be quantized: in uint8, or int8 if symmetric."""
    if isinstance(activation, QuantSpec):
        spec = activation
    else:
        name = activation or ("int8" if symmetric else "uint8")
        spec = QuantSpec(name, symmetric=symmetric)
    eight_bit("activation", spec.format.name)
    return spec


def eight_bit(argument: str, name: str) -> str:
    """Return the name of 8-bit codes, or raise where it is that of others."""
    if name not in CODES:
        raise QuantError(f"`{argument}` must be {' or '.join(CODES)}; got {name!r}.")
    return name
