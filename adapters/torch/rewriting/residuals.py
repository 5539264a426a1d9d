"""Quantizes the identity branch of residual additions, without editing the model.

Where both operands of an addition are quantized, a deployed network adds in int8: the
convolution that ends the other branch takes the addition in. The graph of each module
is traced (torch.fx), its children as one step each, so that only code which adds has to
be traceable.
"""

import logging
import operator
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx, nn

from qcore.adapters.torch.calibration.batches import device_of
from qcore.adapters.torch.given_model import check_model
from qcore.adapters.torch.nn.modules.quant_conv import QuantConv2d
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.adapters.torch.rewriting.functional_hook import QuantizesCalls
from qcore.adapters.torch.rewriting.replacing import put_in_places

_log = logging.getLogger(__name__)

_ADDITIONS: tuple[Callable[..., Any], ...] = (operator.add, operator.iadd, torch.add)
_METHODS = ("add", "add_")
NAME = "residual_quantizer"
"""Of the quantizer of a module's first residual addition; `_1` and so on follow."""


def quantize_residuals(
    model: nn.Module, desc: ScaledQuantDescriptor | None = None, /
) -> nn.Module:
    """
    Insert a quantizer on the identity branch of every residual addition.

    Parameters
    ----------
    model : Module
        Changed in place: a module whose forward adds becomes a `torch.fx.GraphModule`
        with the same children, parameters and buffers, and quantizers beside them,
        called ``residual_quantizer``. Calibrate it afterwards.
    desc : QuantDescriptor, optional
        How they quantize; that of the input of `QuantConv2d` if left out.

    Returns
    -------
    Module
        The model; a new object only if its own forward adds.

    Raises
    ------
    TypeError
        If `desc` is no descriptor, or `model` no module.

    Notes
    -----
    An addition is residual if its operands come from one value and a layer with weights
    (convolution, linear, quantized or not) lies on one way or both; the identity branch
    is the one with fewer, of equal ones that which is computed first. What cannot be
    traced, does otherwise in training than in evaluation, or has hooks is left as it is
    and logged: it may add, and nobody knows. Additions across modules, of which one
    returns both branches, are not seen.
    """
    check_model(model)
    desc = QuantConv2d.default_quant_desc_input if desc is None else desc
    if not isinstance(desc, ScaledQuantDescriptor):
        raise TypeError(f"`desc` must be a QuantDescriptor; got {type(desc).__name__}.")
    made: dict[nn.Module, nn.Module] = {}
    left = {}
    for name, module in _blocks(model):
        try:
            rewritten = _rewritten(module, desc)
        except _LeftError as error:
            left[name] = str(error)
            continue
        if rewritten is not None:
            made[module] = rewritten
    put_in_places(model, made)
    if left:
        each = (f"{name or 'the model'} ({why})" for name, why in left.items())
        _log.warning("Residual additions were not looked for in %s.", ", ".join(each))
    return made.get(model, model)


class _LeftError(Exception):
    """Why a module is left as it is."""


class _OneLevel(fx.Tracer):
    """Traces the code of one module; its children are single steps."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Return that every child is."""
        del m, module_qualified_name
        return True


def _blocks(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield modules that are code of the model's own: not torch's, nor quantizers."""
    for name, module in model.named_modules():
        is_ours = type(module).__module__.startswith("qcore.")
        is_torch = type(module).__module__.startswith("torch.nn.")
        if not (is_ours or is_torch) and any(True for _ in module.children()):
            yield name, module


def _rewritten(module: nn.Module, desc: ScaledQuantDescriptor) -> fx.GraphModule | None:
    """Return a module with quantizers in its graph; None if it needs none."""
    graph = _traced(module)
    found = [pair for node in graph.nodes if (pair := _identity(node, module))]
    if not found:
        return None
    if module._forward_hooks or module._forward_pre_hooks:
        raise _LeftError("it has hooks")
    if isinstance(module, QuantizesCalls):
        raise _LeftError("functions that it calls are quantized")
    made = fx.GraphModule(module, graph, type(module).__name__)
    # What the graph does not use belongs to the module too.
    for held in ("_parameters", "_buffers", "_modules"):
        getattr(made, held).clear()
        getattr(made, held).update(getattr(module, held))
    made._non_persistent_buffers_set = set(module._non_persistent_buffers_set)
    device = device_of(module)
    for i, (node, branch) in enumerate(found):
        name = f"{NAME}_{i}" if i else NAME
        made.add_module(name, TensorQuantizer(desc).to(device))
        with graph.inserting_before(node):
            quantized = graph.call_module(name, (branch,))
        node.replace_input_with(branch, quantized)
    made.recompile()
    return made.train(module.training)


def _traced(module: nn.Module) -> fx.Graph:
    """Return the graph of a module, which must be one graph in either mode."""
    training, texts = module.training, []
    try:
        for mode in (True, False):
            module.training = mode
            graph = _OneLevel().trace(module)
            texts.append(str(graph))
    except Exception as error:  # whatever the module's code says to a proxy
        first = str(error).partition("\n")[0]
        raise _LeftError(f"torch.fx cannot trace it: {first}") from error
    finally:
        module.training = training
    if texts[0] != texts[1]:
        raise _LeftError("it does otherwise in training")
    return graph


def _identity(node: fx.Node, module: nn.Module) -> tuple[fx.Node, fx.Node] | None:
    """Return a residual addition and the operand that is its identity branch."""
    is_addition = (node.op == "call_function" and node.target in _ADDITIONS) or (
        node.op == "call_method" and node.target in _METHODS
    )
    operands = node.args[:2]
    if not is_addition or len(operands) < 2:
        return None
    one, other = operands
    if not (isinstance(one, fx.Node) and isinstance(other, fx.Node)) or one is other:
        return None
    of_one, of_other = _sources(one), _sources(other)
    if not of_one & of_other:
        return None
    weights = [
        sum(_has_weights(step, module) for step in steps)
        for steps in (of_one - of_other, of_other - of_one)
    ]
    if not any(weights):
        return None
    if weights[0] == weights[1]:
        order = list(node.graph.nodes)
        is_first = order.index(one) < order.index(other)
    else:
        is_first = weights[0] < weights[1]
    return node, one if is_first else other


def _sources(node: fx.Node) -> set[fx.Node]:
    """Return a node and all that it is computed from."""
    found, waiting = set[fx.Node](), [node]
    while waiting:
        step = waiting.pop()
        if step not in found:
            found.add(step)
            waiting.extend(step.all_input_nodes)
    return found


def _has_weights(step: fx.Node, module: nn.Module) -> int:
    """Return how many layers with weights a step runs."""
    if step.op != "call_module":
        return 0
    child = module.get_submodule(str(step.target))
    layers = (m for m in child.modules() if not isinstance(m, nn.Embedding))
    weights = (getattr(layer, "weight", None) for layer in layers)
    return sum(isinstance(w, torch.Tensor) and w.ndim > 1 for w in weights)
