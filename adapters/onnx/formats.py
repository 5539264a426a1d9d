"""Which numbers a model is to hold: what was asked for, if the target takes it."""

from dataclasses import dataclass, replace

from qcore.adapters.codes import CODES, activation_spec
from qcore.adapters.onnx.argument_kinds import check_flags, is_whole
from qcore.adapters.onnx.graph.rounding_operators import check_spec
from qcore.adapters.onnx.passes.raise_opset import OPSET
from qcore.adapters.onnx.targets import DYNAMIC, FLOAT, WITH_TRANSPOSED, Mode, Target
from qcore.adapters.onnx_formats import BLOCKS, type_of
from qcore.block_formats import BLOCK_FORMATS, block_spec
from qcore.errors import QuantError, nearest
from qcore.formats import parse_format
from qcore.granularity import PerBlock
from qcore.spec import QuantSpec

QDQ, MATMULNBITS = FORMS = ("qdq", "matmulnbits")
"""How weights are stored: behind DequantizeLinear, or as onnxruntime packs them."""


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
    fake : bool
        Whether the file holds floats that are rounded to these numbers.
    packed : bool
        Whether products by blocks of 4 bits are those of onnxruntime's own operator.
    """

    target: Target
    activation: QuantSpec | None
    weight: str
    block: int | None = None
    fake: bool = False
    packed: bool = False

    @property
    def needs_data(self) -> bool:
        """Whether scales of activations are calibrated."""
        return self.activation is not None and not isinstance(
            self.activation.granularity, PerBlock
        )

    @property
    def opset(self) -> int:
        """The first opset that has them."""
        if self.fake:
            return OPSET
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
    fake: bool = False,
    weight_form: str = QDQ,
) -> Formats:
    """
    Return the formats that were asked for; ``None`` is up to the target.

    Raises
    ------
    QuantError
        If the target does not take them; it names what it takes.
    """
    check_flags(fake=fake)
    if fake:
        return _rounded_floats(target, activation, symmetric, weight, block)
    mode = _mode_of(activation)
    spec = target.activation_spec(activation, symmetric) if mode == "static" else None
    if spec is None and activation not in target.activations:
        raise QuantError(target.refusal("activation", activation, target.activations))
    rules = _rules_for(target, mode, spec)
    held = rules.weight_codes(weight, spec)
    block = _block(rules, held, block)
    packed = _is_packed(rules, held, block, weight_form)
    return Formats(replace(rules, block=block), spec, held, block, packed=packed)


def _rounded_floats(
    target: Target,
    activation: str | QuantSpec | None,
    symmetric: bool | None,
    weight: str | None,
    block: int | None,
) -> Formats:
    """Return formats of which a model holds the numbers as floats."""
    if activation == DYNAMIC:
        raise QuantError(
            f"`activation` must not be {DYNAMIC!r} if the numbers are floats: its "
            "scales are those of onnxruntime. Give a format, such as 'mxfp8_e4m3'."
        )
    mode = _mode_of(activation)
    spec = None
    if isinstance(activation, str) and activation in BLOCK_FORMATS:
        spec = block_spec(activation)
    elif mode == "static":
        spec = activation_spec(activation, bool(symmetric))
    if spec is not None:
        check_spec(spec)
    if weight is None:
        own = activation if isinstance(activation, str) else None
        weight = "int8" if spec is None else own or spec.format.name
    if weight not in BLOCK_FORMATS:
        parse_format(weight)
    elif block is not None:
        raise QuantError(f"`block` must be None for {weight}, which has blocks.")
    rules = _rules_for(target, mode, None)
    return Formats(replace(rules, symmetric=False), spec, weight, block, fake=True)


def _mode_of(activation: str | QuantSpec | None) -> Mode:
    if activation == DYNAMIC:
        return "dynamic"
    return "weights" if activation == FLOAT else "static"


def _rules_for(target: Target, mode: Mode, spec: QuantSpec | None) -> Target:
    """Return the rules of a target for activations that it takes."""
    # Codes of other formats are read back to floats by all operators.
    if spec is not None and spec.format.name in CODES:
        return target
    rules = replace(
        target, mode=mode, carries=False, readers=(), sums="none", bias_codes=False
    )
    if mode == "weights":
        stores = (*WITH_TRANSPOSED, *target.stores)
        return replace(rules, compute=(), stores=stores)
    return rules


def _is_packed(target: Target, weight: str, block: int | None, form: str) -> bool:
    if form not in FORMS:
        raise QuantError(
            f"`weight_form` must be known; got {form!r}: {nearest(form, FORMS)}"
        )
    able = target.name == "onnxruntime" and weight in {"int4", "uint4"} and block
    if form == MATMULNBITS and not able:
        raise QuantError(
            f"`weight_form` {MATMULNBITS!r} must come with target onnxruntime, weights "
            f"int4 or uint4 and a block; got {target.name}, {weight} and {block}."
        )
    return form == MATMULNBITS


def _block(target: Target, weight: str, block: int | None) -> int | None:
    if block is None:  # TensorRT has no int4 with scales of channels
        needed = target.name == "tensorrt" and weight == "int4"
        return target.blocks[0] if needed else None
    if target.mode != "weights":
        raise QuantError(
            f"`block` must be None unless `activation` is {FLOAT!r}; got {block}: no "
            "runtime multiplies codes of activations by those of blocks."
        )
    if not is_whole(block) or block not in target.blocks:
        raise QuantError(target.refusal("block", block, target.blocks))
    return block
