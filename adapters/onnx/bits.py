"""How many bits each layer gets, so that a model of a given size errs least."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.data.feeds import Data
from qcore.adapters.onnx.data.inputs import Feed, inputs_of
from qcore.adapters.onnx.files.model_file import Source, to_ir
from qcore.adapters.onnx.graph.operands import activations, weight
from qcore.adapters.onnx.planning.plan import Plan
from qcore.adapters.onnx.planning.planning import plan, plan_options
from qcore.adapters.onnx.prepare import prepare
from qcore.adapters.onnx.quantization import quantize
from qcore.adapters.onnx.recovery.held import MEMORY, holding
from qcore.adapters.onnx.recovery.samples import hold_samples
from qcore.adapters.onnx.running.watching import watching
from qcore.adapters.progress import terminal_bar
from qcore.errors import QuantError
from qcore.recovery import mixed_precision
from qcore.statistics import Statistics

FEW, MANY = 8, 16
"""Bits of a layer's weights and of its input."""

SAMPLES = 16
"""Enough to rank layers; each is tried on them by itself."""


def spend_bits(
    model: Source,
    statistics: Mapping[str, Statistics],
    data: Data,
    budget: float,
    /,
    *,
    samples: int = SAMPLES,
    symmetric: bool = False,
    **options: Any,
) -> dict[str, dict[str, str]]:
    """
    Return which layers shall have 16 bits, as `overrides` of `quantize`.

    Each layer is quantized by itself to 8 bits, which tells what that costs the
    outputs; then those layers get 16 bits that together cost most for their size
    (`qcore.recovery.mixed_precision`: exact for costs that add up). onnxruntime
    computes such layers in floats, of weights and inputs rounded to 16 bits.

    Parameters
    ----------
    model : path or ModelProto
        The float model.
    statistics : mapping
        What `calibrate` gave.
    data : data
        To try layers on.
    budget : float
        Bits of a weight on the average, from 8 to 16.
    samples : int, optional
        How many samples to try them on.
    symmetric : bool, optional
        Whether zero points of activations are 0.
    **options
        Of `quantize`, but for `overrides`, `recover` and `data`.

    Returns
    -------
    dict
        By tensor, inputs and weights of the layers with 16 bits.

    Raises
    ------
    QuantError
        If the budget is out of range, or model, data or options do not fit.
    """
    if not FEW <= budget <= MANY:
        raise QuantError(f"`budget` must be from {FEW} to {MANY} bits; got {budget!r}.")
    planned = plan(model, statistics=statistics, **plan_options(options))
    graph = prepare(model, keep_existing=bool(options.get("keep_existing"))).graph
    layers = {
        str(node.name): node
        for node in graph.all_nodes()
        if node.name in planned.compute and weight(node) is not None
    }
    with holding(MEMORY) as held:
        hold_samples(held, data, inputs_of(graph), samples)
        wanted = _outputs(model, held)
        costs = {}
        for name in terminal_bar(layers, "trying layers", "layer"):
            alone = {**options, "include": [name], "symmetric": symmetric}
            one = quantize(model, statistics, recover="none", **alone)
            few = _cost(wanted, _outputs(one, held))
            # Steps are 2**8 times as fine.
            costs[name] = {FEW: few, MANY: few / 4.0 ** (MANY - FEW)}
    sizes = {name: _size(node) for name, node in layers.items()}
    bits = mixed_precision(costs, sizes, budget * sum(sizes.values()))
    chosen = [node for name, node in layers.items() if bits[name] == MANY]
    return _overrides(chosen, planned, symmetric)


def _outputs(model: Source, samples: Iterable[Feed]) -> list[dict[str, np.ndarray]]:
    """Return what a model answers to samples."""
    opened = to_ir(model)
    with watching(opened, list(opened.graph.outputs)) as watch:
        return [watch(feed, f"in sample {n}") for n, feed in enumerate(samples)]


def _cost(
    wanted: list[dict[str, np.ndarray]], found: list[dict[str, np.ndarray]]
) -> float:
    """Return the noise of floating-point outputs as a part of their power, summed."""
    cost = 0.0
    for name in wanted[0]:
        pairs = [(a[name], b[name]) for a, b in zip(wanted, found, strict=True)]
        if not np.issubdtype(pairs[0][0].dtype, np.floating):
            continue
        noise = sum(np.sum((a - b.astype(np.float64)) ** 2) for a, b in pairs)
        power = sum(np.sum(a.astype(np.float64) ** 2) for a, _ in pairs)
        cost += float(noise / max(power, np.finfo(np.float64).tiny))
    return cost


def _size(node: ir.Node) -> int:
    kernel = weight(node)
    assert kernel is not None
    assert kernel.const_value is not None
    return int(kernel.const_value.size)


def _overrides(
    layers: Iterable[ir.Node], planned: Plan, symmetric: bool
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for node in layers:
        x, kernel = str(activations(node)[0].name), weight(node)
        assert kernel is not None
        if x in planned.tensors:
            found[x] = {"format": "int16" if symmetric else "uint16"}
        found[str(kernel.name)] = {"format": "int16"}
    return found
