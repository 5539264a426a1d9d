"""What runtimes compute in 8 bits, and where they want the codes, as data."""

from collections.abc import Mapping
from dataclasses import dataclass

from qcore.adapters.codes import CODES, eight_bit
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
    carries: bool
    readers: tuple[str, ...]
    sums: str
    symmetric: bool
    activations: tuple[str, ...]
    weights: tuple[str, ...]
    bias_codes: bool

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
        if isinstance(activation, QuantSpec):
            spec = activation
        else:
            symmetric = self.symmetric if symmetric is None else symmetric
            name = activation or (
                "int8"
                if symmetric and "int8" in self.activations
                else self.activations[0]
            )
            spec = QuantSpec(eight_bit("activation", name), symmetric=symmetric)
        if eight_bit("activation", spec.format.name) not in self.activations:
            raise QuantError(self._refusal("activation", spec.format.name))
        if self.symmetric and not spec.symmetric:
            raise QuantError(f"activations of {self.name} must have zero points of 0.")
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
_POOLS = ("AveragePool", "GlobalAveragePool")

_ALL = (
    Target(
        "onnxruntime",
        compute=_PRODUCTS,
        carries=True,
        readers=(),
        sums="none",
        symmetric=False,
        activations=("uint8", "int8"),
        weights=CODES,
        bias_codes=True,
    ),
    # "Working with Quantized Types" of its documentation: placement of Q/DQ layers.
    Target(
        "tensorrt",
        compute=("Conv", "ConvTranspose", "Gemm", "MatMul"),
        carries=False,
        readers=_POOLS,
        sums="residual",
        symmetric=True,
        activations=("int8",),
        weights=("int8",),
        bias_codes=False,
    ),
    # The input quantizers of its low precision transformations.
    Target(
        "openvino",
        compute=("Conv", "ConvTranspose", "Gemm", "MatMul"),
        carries=False,
        readers=_POOLS,
        sums="all",
        symmetric=False,
        activations=("uint8", "int8"),
        weights=("int8",),
        bias_codes=False,
    ),
)

TARGETS: Mapping[str, Target] = {target.name: target for target in _ALL}

ONNXRUNTIME = TARGETS["onnxruntime"]


def find_target(name: str | Target, /) -> Target:
    """Return a target by name; raise QuantError if there is none."""
    if isinstance(name, Target):
        return name
    if name not in TARGETS:
        raise QuantError(
            f"`target` must be known; got {name!r}: {nearest(name, TARGETS)}"
        )
    return TARGETS[name]
