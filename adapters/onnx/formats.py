"""Which numbers a model is to hold: what was asked for, if the target takes it."""

from dataclasses import dataclass, replace

from qcore.adapters.onnx.targets import DYNAMIC, FLOAT, WITH_TRANSPOSED, Mode, Target
from qcore.adapters.onnx_formats import BLOCKS, type_of
from qcore.errors import QuantError
from qcore.formats import parse_format
from qcore.spec import QuantSpec

_KERNELS = ("int8", "uint8")
"""Codes that runtimes compute on; others are read back to floats by all operators."""


@dataclass(frozen=True)
class Formats:
    """The numbers of a model.

    Attributes
    ----------
    target : Target
        The rules of the runtime for them.
    activation : QuantSpec or None
        Of activations whose scales are calibrated.
    weight : str
        The format of weights.
    block : int or None
        How many weights share a scale, if not those of an output channel.
    """

    target: Target
    activation: QuantSpec | None
    weight: str
    block: int | None = None

    @property
    def opset(self) -> int:
        """The first opset that has them."""
        used = [parse_format(self.weight)]
        if self.activation is not None:
            used.append(self.activation.format)
        blocks = 0 if self.block is None else BLOCKS
        return max(blocks, *(type_of(fmt).opset for fmt in used))


def choose_formats(
    target: Target,
    *,
    activation: str | QuantSpec | None = None,
    symmetric: bool | None = None,
    weight: str | None = None,
    block: int | None = None,
) -> Formats:
    """
    Return the formats that were asked for; ``None`` is up to the target.

    Raises
    ------
    QuantError
        If the target does not take them; it names what it takes.
    """
    mode = _mode_of(activation)
    spec = target.activation_spec(activation, symmetric) if mode == "static" else None
    if spec is None and activation not in target.activations:
        raise QuantError(target.refusal("activation", activation, target.activations))
    rules = _rules_for(target, mode, spec)
    held = rules.weight_codes(weight, spec)
    return Formats(rules, spec, held, _block(rules, held, block))


def _mode_of(activation: str | QuantSpec | None) -> Mode:
    if activation == DYNAMIC:
        return "dynamic"
    return "weights" if activation == FLOAT else "static"


def _rules_for(target: Target, mode: Mode, spec: QuantSpec | None) -> Target:
    """Return the rules of a target for activations that it takes."""
    if spec is not None and spec.format.name in _KERNELS:
        return target
    rules = replace(
        target, mode=mode, carries=False, readers=(), sums="none", bias_codes=False
    )
    if mode == "weights":
        stores = (*WITH_TRANSPOSED, *target.stores)
        return replace(rules, compute=(), stores=stores)
    return rules


def _block(target: Target, weight: str, block: int | None) -> int | None:
    if block is None:  # TensorRT has no int4 with scales of channels
        needed = target.name == "tensorrt" and weight == "int4"
        return target.blocks[0] if needed else None
    if target.mode != "weights":
        raise QuantError(
            f"`block` must be None unless `activation` is {FLOAT!r}; got {block}: no "
            "runtime multiplies codes of activations by those of blocks."
        )
    if block not in target.blocks:
        raise QuantError(target.refusal("block", block, target.blocks))
    return block
