"""What runtimes compute in 8 bits, and where they want the codes, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qcore.adapters.codes import CODES, activation_spec, eight_bit
from qcore.errors import QuantError, nearest
from qcore.spec import QuantSpec


@dataclass(frozen=True)
class Target:
    """The rules of a runtime.

    Attributes
    ----------
    name : str
        As it is asked for.
    compute : tuple of str
        Operators that multiply codes.
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
    activations, weights : tuple of str
        Codes that it takes, the default first.
    bias_codes : bool
        Whether biases are 32-bit codes.
    """

    name: str
    compute: tuple[str, ...]
    carries: bool = False
    readers: tuple[str, ...] = ()
    sums: Literal["none", "residual", "all"] = "none"
    symmetric: bool = False
    activations: tuple[str, ...] = CODES
    weights: tuple[str, ...] = CODES
    bias_codes: bool = False

    def activation_spec(
        self, activation: str | QuantSpec | None, symmetric: bool | None
    ) -> QuantSpec:
        """
        Return how activations are quantized.

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
            raise QuantError(self._refusal("activation", spec.format.name))
        return spec

    def weight_codes(self, weight: str | None, spec: QuantSpec) -> str:
        """Return the codes of weights, by default those of activations if it can be."""
        if weight is None:
            own = spec.format.name
            return own if own in self.weights else self.weights[0]
        if eight_bit("weight", weight) not in self.weights:
            raise QuantError(self._refusal("weight", weight))
        return weight

    def _refusal(self, what: str, name: str) -> str:
        allowed = " or ".join(getattr(self, f"{what}s"))
        return f"`{what}` of {self.name} must be {allowed}; got {name!r}."


_PRODUCTS = ("Conv", "Gemm", "MatMul")
_AND_TRANSPOSED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_POOLS = ("AveragePool", "GlobalAveragePool")

ONNXRUNTIME = Target("onnxruntime", _PRODUCTS, carries=True, bias_codes=True)

# "Working with Quantized Types" of its documentation: placement of Q/DQ layers.
TENSORRT = Target(
    "tensorrt",
    _AND_TRANSPOSED,
    readers=_POOLS,
    sums="residual",
    symmetric=True,
    activations=("int8",),
    weights=("int8",),
)

# What its low precision transformations quantize.
OPENVINO = Target(
    "openvino", _AND_TRANSPOSED, readers=_POOLS, sums="all", weights=("int8",)
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
