"""What a model is apart from its numbers and its quantizers."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from qcore.adapters.torch.configuration.choices import float_class
from qcore.adapters.torch.nn.modules._utils import QuantizedModule
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer

Layer = Sequence[Any]
"""Name and class of a module, and the shapes of its own parameters and buffers."""


def architecture(model: nn.Module, /) -> list[Layer]:
    """
    Return every module of a model, in plain data, as it was before quantization.

    Quantizers are left out, quantized modules are what they quantize.
    """
    return [
        [name, _class_name(module), {n: list(shape) for n, shape in _shapes(module)}]
        for name, module in model.named_modules()
        if not _holds_quantizers(module) and not _is_inside(name, model)
    ]


def check_architecture(model: nn.Module, saved: Sequence[Layer], /) -> None:
    """
    Refuse a model of another architecture.

    Raises
    ------
    ValueError
        Names the first difference.
    """
    here = {name: (kind, shapes) for name, kind, shapes in architecture(model)}
    for name, kind, shapes in saved:
        if name not in here:
            raise _refusal(f"{_called(name)} was a {kind}, and is missing here")
        kind_here, shapes_here = here.pop(name)
        if kind_here != kind:
            raise _refusal(f"{_called(name)} was a {kind}, and is a {kind_here} here")
        for of in [*shapes, *(set(shapes_here) - set(shapes))]:
            was, now = shapes.get(of), shapes_here.get(of)
            if was != now:
                raise _refusal(
                    f"{of} of {_called(name)} was {_shape(was)}, and is {_shape(now)} "
                    "here"
                )
    for name, (kind, _) in here.items():
        raise _refusal(f"{_called(name)}, a {kind}, was not there")


def _refusal(difference: str) -> ValueError:
    return ValueError(
        f"`float_model` must be of the architecture that was saved; {difference}."
    )


def _called(name: str) -> str:
    return repr(name) if name else "the model"


def _shape(given: Sequence[int] | None) -> str:
    return "missing" if given is None else f"of shape {tuple(given)}"


def _class_name(module: nn.Module) -> str:
    quantized = float_class(module) if isinstance(module, QuantizedModule) else None
    return (quantized or type(module)).__name__


def _shapes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield name, parameter.shape
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers_set:
            yield name, buffer.shape


def _holds_quantizers(module: nn.Module) -> bool:
    """Return whether a module is a quantizer, or a container of nothing else."""
    if isinstance(module, TensorQuantizer):
        return True
    is_container = isinstance(module, nn.ModuleList | nn.ModuleDict)
    children = list(module.children())
    return (
        is_container
        and bool(children)
        and all(isinstance(child, TensorQuantizer) for child in children)
    )


def _is_inside(name: str, model: nn.Module) -> bool:
    """Return whether a module is part of a quantizer."""
    parents = name.split(".")[:-1]
    names = (".".join(parents[: i + 1]) for i in range(len(parents)))
    return any(isinstance(model.get_submodule(n), TensorQuantizer) for n in names)
