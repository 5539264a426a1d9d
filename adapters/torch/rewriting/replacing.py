"""Puts quantized modules where the modules were that a configuration chooses."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import fx, nn

from qcore.adapters.torch.calibration.batches import device_of
from qcore.adapters.torch.configuration.choices import (
    Config,
    ModuleChoice,
    QuantizerChoice,
    float_class,
)
from qcore.adapters.torch.nn.modules._utils import QuantizedModule, QuantMixin
from qcore.adapters.torch.nn.modules.registry import quantized_class
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.adapters.torch.quantizer.lookup import quantizers_of
from qcore.adapters.torch.rewriting.functional_hook import add_function_quantizers
from qcore.adapters.torch.rewriting.fused_paths import leave_fused_paths

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Replacement:
    """What became of a model.

    Attributes
    ----------
    model : Module
        The model; another object only if it was itself a layer that is quantized.
    replaced : tuple of str
        Names of the modules that are quantized.
    left : mapping of str to str
        Names of modules that were chosen but are as they were, and why.
    unmatched : tuple of str
        The rules that matched nothing.
    """

    model: nn.Module
    replaced: tuple[str, ...]
    left: Mapping[str, str] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()


def replace_modules(model: nn.Module, config: Config, /) -> Replacement:
    """
    Put quantized modules in their places, in the model itself.

    They share parameters, buffers and hooks with those they replace; one that stands in
    several places is replaced by one. What is left undone is logged, too.

    Parameters
    ----------
    model : Module
        Of any structure. What is quantized in it already stays as it is.
    config : Config
        As `read_config` returns it.

    Returns
    -------
    Replacement
        The model and what was done.
    """
    planned: dict[nn.Module, tuple[str, ModuleChoice]] = {}
    left, used = {}, set[int]()
    for name, module in _candidates(model):
        choice, matched = config.choose(name, module)
        used |= matched
        if module in planned or choice is None or choice.is_empty():
            continue
        if reason := _obstacle(module):
            left[name] = reason
        else:
            planned[module] = name, choice
    device = device_of(model)
    made = {
        module: _quantized(module, choice).to(device)
        for module, (_, choice) in planned.items()
    }
    put_in_places(model, made)
    leave_fused_paths(model)
    unmatched = tuple(x for i, x in enumerate(config.labels) if i not in used)
    _report(left, unmatched)
    replaced = tuple(name for name, _ in planned.values())
    return Replacement(made.get(model, model), replaced, left, unmatched)


def put_in_places(model: nn.Module, made: Mapping[nn.Module, nn.Module], /) -> None:
    """Let every module of a model that has a successor be followed by it."""
    for parent in [*model.modules(), *made.values()]:
        for name, child in list(parent._modules.items()):
            if child is not None and child in made:
                parent._modules[name] = made[child]


def _candidates(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield modules under every name, but nothing that is quantized or inside it."""
    inside: list[str] = []
    for name, module in model.named_modules(remove_duplicate=False):
        if any(name.startswith(prefix) for prefix in inside):
            continue
        if isinstance(module, QuantizedModule | TensorQuantizer):
            inside.append(f"{name}.")
            continue
        yield name, module


def _obstacle(module: nn.Module) -> str | None:
    """Return why a module that is chosen cannot be quantized, if so."""
    if isinstance(module, nn.MultiheadAttention):
        return "torch computes it as one function"
    if isinstance(module, fx.GraphModule):
        return "a torch.fx graph"
    known = float_class(module)
    if known is None or quantized_class(type(module)) is not None:
        return None
    if torch.nn.utils.parametrize.is_parametrized(module):
        return f"a parametrized {known.__name__}"
    return f"{type(module).__name__} is a subclass of {known.__name__}"


def _quantized(module: nn.Module, choice: ModuleChoice) -> nn.Module:
    """Return the module that takes the place of another, or that one if it keeps it."""
    cls = quantized_class(type(module))
    if cls is None:
        return add_function_quantizers(module, choice.functions)
    chosen: dict[str, QuantizerChoice | None] = {"input": choice.input}
    if issubclass(cls, QuantMixin):
        chosen["weight"] = choice.weight
    default = ScaledQuantDescriptor()
    made = cls.from_float(
        module, *(c.descriptor if c else default for c in chosen.values())
    )
    assert isinstance(made, nn.Module)
    for of, one in chosen.items():
        for quantizer in quantizers_of(made, of):
            if one is None:
                quantizer.disable()
            else:
                one.apply(quantizer)
    if choice.output is not None:
        made.output_quantizer = choice.output.make()
        made.register_forward_hook(_quantize_output)
    return made.train(module.training)


def _quantize_output(
    module: nn.Module, args: tuple[object, ...], output: torch.Tensor
) -> torch.Tensor:
    del args
    quantized: torch.Tensor = module.output_quantizer(output)  # type: ignore[operator]
    return quantized


def _report(left: Mapping[str, str], unmatched: tuple[str, ...]) -> None:
    if unmatched:
        _log.warning("Rules that matched no module: %s.", "; ".join(unmatched))
    if left:
        each = (f"{name or 'the model'} ({why})" for name, why in left.items())
        _log.warning("Modules left as they are: %s.", ", ".join(each))
