"""What runtimes compute in 8 bits, and where they want the codes, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from qcore.adapters.codes import CODES, activation_spec
from qcore.errors import QuantError, nearest
from qcore.spec import QuantSpec

DYNAMIC, FLOAT = "dynamic", "float"
"""Activations whose codes are found when the model runs, and those without codes."""

Mode: TypeAlias = Literal["static", "dynamic", "weights"]
"""Scales of activations are calibrated, found when the model runs, or there are none:
weights alone are stored in codes."""

_INT16S = ("int16", "uint16")
_FLOAT8S = ("float8_e4m3fn", "float8_e5m2")
_INTS = (
    *CODES,
    *("int4", "uint4"),
    *(f"{sign}int{bits}" for bits in (7, 6, 5, 3, 2) for sign in ("", "u")),
)
"""Of at most 8 bits; those that ONNX lacks are held in 8."""

_WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "int8": _INTS,
    "uint8": _INTS,
    **dict.fromkeys(_INT16S, (*_INTS, *_INT16S)),
    "float8_e4m3fn": _FLOAT8S,
    "float8_e5m2": _FLOAT8S[::-1],
    DYNAMIC: CODES,
    FLOAT: (*_INTS, *_INT16S, *_FLOAT8S),
}
"""By activation: the codes of weights that go with it in ONNX, the default first."""


@dataclass(frozen=True)
class Target:
    """The rules of a runtime.

    Attributes
    ----------
    name : str
        As it is asked for.
    compute : tuple of str
        Operators that multiply codes.
    stores : tuple of str
        Operators that compute on floats, but whose weights are stored in codes.
    carries : bool
        Whether codes pass through the operators between products, which then compute on
        them; else only what quantized operators read is quantized, and the runtime
        finds out what more it can do on codes.
    readers : tuple of str
        Operators beside products whose input is quantized, if codes are not carried.
    sums : str
        Which inputs of Add are quantized then: ``"residual"``, the one that is not the
        result of the product it merges with; ``"all"``; or ``"none"``.
    symmetric : bool
        Whether zero points must be 0.
    activations : tuple of str
        Codes that it takes, and ``"dynamic"`` or ``"float"`` where it takes that.
    weights : mapping
        By activation: the codes that go with it, the default first.
    blocks : tuple of int
        How many weights may share a scale, if not those of a channel.
    bias_codes : bool
        Whether biases are 32-bit codes.
    answers : bool
        Whether a Conv is quantized whose result is wanted in floats, if the runtime has
        no integer one that gives them. What it answers has 8 bits then.
    adds_in_16_bits : bool
        Whether some kernels add products of two weights in 16 bits; see `Neighbours`.
    looks_up_codes : bool
        Whether tables are dequantized after the lookup, not as a whole before it.
    mode : str
        What is asked of it; see `Mode`.
    block : int or None
        How many weights are to share a scale, if that is asked of it.
    """

    name: str
    compute: tuple[str, ...]
    stores: tuple[str, ...] = ()
    carries: bool = False
    readers: tuple[str, ...] = ()
    sums: Literal["none", "residual", "all"] = "none"
    symmetric: bool = False
    activations: tuple[str, ...] = (*CODES, FLOAT)
    weights: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: _WEIGHTS)
    blocks: tuple[int, ...] = (16, 32, 64, 128, 256)
    bias_codes: bool = False
    answers: bool = True
    adds_in_16_bits: bool = False
    looks_up_codes: bool = False
    mode: Mode = "static"
    block: int | None = None

    @property
    def operators(self) -> tuple[str, ...]:
        """Operators whose weights may become codes."""
        return (*self.compute, *self.stores)

    def activation_spec(
        self, activation: str | QuantSpec | None, symmetric: bool | None
    ) -> QuantSpec:
        """
        Return how activations are quantized, the scales of which are calibrated.

        Parameters
        ----------
        activation, symmetric
            What was asked for; None is up to the target.

        Raises
        ------
        QuantError
            If the target does not take that.
        """
        wanted = self.symmetric if symmetric is None else symmetric
        spec = activation_spec(activation, wanted)
        if self.symmetric and not spec.symmetric:
            raise QuantError(f"activations of {self.name} must have zero points of 0.")
        if spec.format.name not in self.activations:
            got = spec.format.name
            raise QuantError(self.refusal("activation", got, self.activations))
        return spec

    def weight_codes(self, weight: str | None, spec: QuantSpec | None) -> str:
        """
        Return the format of weights.

        Parameters
        ----------
        weight
            What was asked for; None is up to the target.
        spec
            Of the activations; not looked at unless the mode is static.

        Raises
        ------
        QuantError
            If the target does not take that.
        """
        named = {"dynamic": DYNAMIC, "weights": FLOAT}.get(self.mode)
        if named is None:
            assert spec is not None
            named = spec.format.name
        allowed = self.weights[named]
        if weight is None:
            return allowed[0]
        if weight not in allowed:
            where = f" with activation {named!r}"
            raise QuantError(self.refusal("weight", weight, allowed, where))
        return weight

    def refusal(
        self, what: str, got: object, allowed: tuple[object, ...], where: str = ""
    ) -> str:
        """Return the sentence that something is not taken."""
        *others, last = map(str, allowed)
        either = f"{', '.join(others)} or {last}" if others else last
        return f"`{what}` of {self.name}{where} must be {either}; got {got!r}."


_PRODUCTS = ("Conv", "Gemm", "MatMul")
WITH_TRANSPOSED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_POOLS = ("AveragePool", "GlobalAveragePool")
_STORED = ("Gather", "GRU", "LSTM", "RNN")
"""Lookups in tables of numbers, and products that runtimes do in floats."""

ONNXRUNTIME = Target(
    "onnxruntime",
    _PRODUCTS,
    stores=_STORED,
    carries=True,
    activations=(*CODES, *_INT16S, *_FLOAT8S, DYNAMIC, FLOAT),
    bias_codes=True,
    adds_in_16_bits=True,
    looks_up_codes=True,
)

# "Working with Quantized Types" of its documentation: placement of Q/DQ layers, and
# under "Quantization Schemes" that int4 wants blocks of 64 or 128.
TENSORRT = Target(
    "tensorrt",
    WITH_TRANSPOSED,
    readers=_POOLS,
    sums="residual",
    symmetric=True,
    activations=("int8", "float8_e4m3fn", FLOAT),
    weights={
        "int8": ("int8",),
        "float8_e4m3fn": ("float8_e4m3fn",),
        FLOAT: ("int4",),
    },
    blocks=(128, 64),
)

# What its low precision transformations quantize.
OPENVINO = Target(
    "openvino",
    WITH_TRANSPOSED,
    stores=_STORED,
    readers=_POOLS,
    sums="all",
    weights={**dict.fromkeys(CODES, ("int8",)), FLOAT: (*CODES, "int4", "uint4")},
)

TARGETS: Mapping[str, Target] = {
    target.name: target for target in (ONNXRUNTIME, TENSORRT, OPENVINO)
}


def find_target(name: str | Target, /) -> Target:
    """Return a target by name; raise QuantError if there is none."""
    if isinstance(name, Target):
        return name
    if name not in TARGETS:
        raise QuantError(
            f"`target` must be known; got {name!r}: {nearest(name, TARGETS)}"
        )
    return TARGETS[name]
