"""The zeros that convolutions put around their input."""

from collections.abc import Sequence

import onnx_ir as ir

Pairs = tuple[tuple[int, int], ...]
"""Before and after, for each spatial axis; negative ones crop."""


def integers(node: ir.Node, name: str, rank: int) -> tuple[int, ...]:
    """Return an attribute with one number for each axis, all 1 if it is not there."""
    attribute = node.attributes.get(name)
    return (1,) * rank if attribute is None else tuple(attribute.as_ints())


def reach(node: ir.Node, kernel: Sequence[int]) -> tuple[int, ...]:
    """Return how far the ends of a kernel lie apart, for each axis."""
    dilations = integers(node, "dilations", len(kernel))
    return tuple(d * (k - 1) for d, k in zip(dilations, kernel, strict=True))


def padding(node: ir.Node, kernel: Sequence[int], extents: Sequence[int]) -> Pairs:
    """Return what a Conv puts around an input of such extents."""
    strides = integers(node, "strides", len(kernel))
    each = zip(reach(node, kernel), strides, extents, strict=True)
    # As many outputs as the stride leaves of the input.
    totals = [max((-(-n // s) - 1) * s + r + 1 - n, 0) for r, s, n in each]
    return _padding(node, totals)


def padding_of_transposed(
    node: ir.Node, kernel: Sequence[int], extents: Sequence[int]
) -> Pairs:
    """Return what a ConvTranspose puts around an input that it has spread."""
    rank = len(kernel)
    strides, ends = integers(node, "strides", rank), reach(node, kernel)
    if wanted := node.attributes.get("output_shape"):
        spread = [(n - 1) * s + 1 for n, s in zip(extents, strides, strict=True)]
        each = zip(ends, spread, wanted.as_ints(), strict=True)
        return tuple(_around(node, *axis) for axis in each)
    attribute = node.attributes.get("output_padding")
    extra = (0,) * rank if attribute is None else tuple(attribute.as_ints())
    each = zip(ends, strides, extra, strict=True)
    cut = _padding(node, [max(r + 1 - s + e, 0) for r, s, e in each])
    return tuple(
        (r - a, r - b + e) for r, (a, b), e in zip(ends, cut, extra, strict=True)
    )


def _around(node: ir.Node, end: int, spread: int, wanted: int) -> tuple[int, int]:
    """Return what is around a spread axis for so many outputs to be made of it."""
    cut = max(spread + end - wanted, 0)
    attribute = node.attributes.get("auto_pad")
    is_upper = attribute is not None and attribute.as_string() == "SAME_UPPER"
    before = end - (cut // 2 if is_upper else cut - cut // 2)
    return before, wanted + end - spread - before


def _padding(node: ir.Node, totals: Sequence[int]) -> Pairs:
    """Return pads as they are given, or halves of the totals where they are not."""
    attribute = node.attributes.get("auto_pad")
    kind = "NOTSET" if attribute is None else attribute.as_string()
    if kind == "SAME_UPPER":
        return tuple((n // 2, n - n // 2) for n in totals)
    if kind == "SAME_LOWER":
        return tuple((n - n // 2, n // 2) for n in totals)
    rank = len(totals)
    given = node.attributes.get("pads") if kind == "NOTSET" else None
    pads = (0,) * (2 * rank) if given is None else tuple(given.as_ints())
    return tuple(zip(pads[:rank], pads[rank:], strict=True))
