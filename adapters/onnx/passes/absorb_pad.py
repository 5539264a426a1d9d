"""Let a Conv pad by itself what a Pad before it pads with zeros.

There is no Pad of codes between two that compute on them, so that it would keep the one
before from giving, and the one behind from getting, what it gave.
"""

import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import array_of, is_constant
from qcore.adapters.onnx.graph.operands import is_standard, own_pads


def absorb_pad(model: ir.Model) -> ir.Model:
    """Return the model with zeros around images padded by the Conv that reads them."""
    for graph in model.graphs():
        for node in graph:
            value = node.inputs[0] if is_standard(node, "Conv") else None
            pad = None if value is None else value.producer()
            pads = None if pad is None else _zeros_around(pad)
            own = own_pads(node)
            if pad is not None and pads is not None and own is not None:
                if len(own) != len(pads):
                    own = [0] * len(pads)
                total = [a + b for a, b in zip(own, pads, strict=True)]
                node.attributes.add(ir.AttrInt64s("pads", total))
                node.attributes.pop("auto_pad", None)
                node.replace_input_with(0, pad.inputs[0])
    return model


def _zeros_around(pad: ir.Node) -> list[int] | None:
    """Return the zeros that a Pad puts before and after each spatial axis."""
    if not is_standard(pad, "Pad"):
        return None
    mode, (_, pads, *rest) = pad.attributes.get("mode"), pad.inputs
    constant = mode is None or mode.as_string() == "constant"
    if not constant or not is_constant(pads) or any(v is not None for v in rest[1:]):
        return None
    value = rest[0] if rest else None
    if value is not None and not (is_constant(value) and not array_of(value).any()):
        return None
    numbers = [int(n) for n in array_of(pads)]
    rank = len(numbers) // 2
    before, after = numbers[:rank], numbers[rank:]
    outside = [*before[:2], *after[:2]]
    if any(outside) or min(numbers) < 0:  # negative ones cut off
        return None
    return [*before[2:], *after[2:]]
