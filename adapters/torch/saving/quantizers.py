"""Quantizers as plain data: what they are, where they stand, how they are switched."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from qcore.adapters.torch.configuration.choices import (
    ModuleChoice,
    Operands,
    QuantizerChoice,
)
from qcore.adapters.torch.nn.modules._utils import QuantizedModule
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.adapters.torch.quantizer.lookup import named_quantizers
from qcore.adapters.torch.quantizer.stages import Stages
from qcore.adapters.torch.rewriting.functional_hook import (
    QuantizesCalls,
    add_call_sites,
    call_choices,
)
from qcore.adapters.torch.rewriting.residuals import NAME as RESIDUAL

_FORMAT = ("num_bits", "unsigned", "narrow_range")
_CHILDREN = {
    "input": ("_input_quantizer", "_input_quantizers.0"),
    "weight": ("_weight_quantizer", "_weight_quantizers.0"),
    "output": ("output_quantizer",),
}
"""What the quantizers of a module's tensors are called, or the first of a list."""


def describe_quantizers(model: nn.Module, /) -> dict[str, Any]:
    """Return what `SavedQuantizers` needs to know of a model's quantizers."""
    return {
        "quantizers": {
            name: _describe(quantizer)
            for name, quantizer in named_quantizers(model).items()
        },
        "quantized": [
            name
            for name, module in model.named_modules()
            if isinstance(module, QuantizedModule)
        ],
        "calls": {
            name: {
                function: {of: _told(choice) for of, choice in operands.items()}
                for function, operands in call_choices(module).items()
            }
            for name, module in model.named_modules()
            if isinstance(module, QuantizesCalls)
        },
    }


class SavedQuantizers:
    """The configuration by which a float model gets the quantizers of a saved one.

    Parameters
    ----------
    described : mapping
        As of `describe_quantizers`.

    Raises
    ------
    LookupError, TypeError, ValueError, AttributeError
        If the data is not such.
    """

    labels: tuple[str, ...] = ()
    calibrates = False

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.described: dict[str, Any] = dict(described["quantizers"])
        self._settings = {
            name: {key: d[key] for key in _FORMAT} for name, d in self.described.items()
        }
        self._stages = {
            name: Stages(**d["stages"]) for name, d in self.described.items()
        }
        self._quantized = set(described["quantized"])
        self._choices = {name: _choice(d) for name, d in self.described.items()}
        self._calls: dict[str, dict[str, Operands]] = {
            name: {
                function: {of: _choice(d) for of, d in operands.items()}
                for function, operands in calls.items()
            }
            for name, calls in described["calls"].items()
        }

    def choose(
        self, name: str, module: nn.Module
    ) -> tuple[ModuleChoice | None, frozenset[int]]:
        """Return the quantizers that a module had when it was saved."""
        del module
        path = f"{name}." if name else ""
        functions = self._calls.get(name, {})
        if name not in self._quantized:
            return ModuleChoice(functions=functions), frozenset()
        found = {
            of: self._choices[path + child]
            for of, children in _CHILDREN.items()
            for child in children
            if path + child in self._choices
        }
        return ModuleChoice(found, functions), frozenset()

    def state(
        self, name: str, tensors: Mapping[str, torch.Tensor], /
    ) -> dict[str, torch.Tensor]:
        """Return the state dict of a quantizer, out of that of the model."""
        path = f"{name}." if name else ""
        return {key: tensors[path + key] for key in self.described[name]["state"]}

    def residuals(self) -> list[str]:
        """Return the names of quantizers that are inserted into graphs."""
        return [n for n in self.described if n.split(".")[-1].startswith(RESIDUAL)]

    def check(self, model: nn.Module, /) -> None:
        """
        Refuse a model with other quantizers of its own than the saved one has.

        Raises
        ------
        ValueError
            Names the first one.
        """
        here = named_quantizers(model)
        owners = {*self._quantized, *self._calls}
        for name in self.described:
            is_made = name in self.residuals() or any(
                owner in owners for owner in _owners(name)
            )
            if not is_made and name not in here:
                raise ValueError(
                    f"`float_model` must have the quantizer {name!r}, as the model "
                    "that was saved; it is missing."
                )
        for name in here:
            if name not in self.described:
                raise ValueError(
                    f"`float_model` must have no quantizer {name!r}; the model that "
                    "was saved has none there."
                )

    def add_call_sites(self, model: nn.Module, /) -> None:
        """Make the quantizers of function calls, which else the first forward makes."""
        for owner in self._calls:
            module = model.get_submodule(owner)
            assert isinstance(module, QuantizesCalls)
            path = f"{owner}." if owner else ""
            add_call_sites(
                module,
                (n.removeprefix(path) for n in self.described if n.startswith(path)),
            )

    def settle(self, name: str, model: nn.Module, /) -> TensorQuantizer:
        """Return the quantizer of a name, with its format and stages."""
        settings, choice = self._settings[name], self._choices[name]
        quantizer = model.get_submodule(name)
        assert isinstance(quantizer, TensorQuantizer)
        if quantizer.descriptor != choice.descriptor:
            device = quantizer.device
            quantizer = choice.make().to(device).train(quantizer.training)
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, quantizer)
        choice.apply(quantizer)
        for key in _FORMAT:
            if getattr(quantizer, key) != _plain_width(settings[key]):
                setattr(quantizer, key, settings[key])
        quantizer.stages = self._stages[name]
        return quantizer


def _describe(quantizer: TensorQuantizer) -> dict[str, Any]:
    choice = QuantizerChoice(quantizer.descriptor, quantizer.calibrator is None)
    return {
        **_told(choice),
        **{key: getattr(quantizer, key) for key in _FORMAT},
        "stages": asdict(quantizer.stages),
        "state": list(quantizer.state_dict()),
    }


def _told(choice: QuantizerChoice) -> dict[str, Any]:
    return {
        "descriptor": choice.descriptor.to_yaml(),
        "is_dynamic": choice.is_dynamic,
    }


def _choice(described: Mapping[str, Any]) -> QuantizerChoice:
    descriptor = ScaledQuantDescriptor.from_yaml(described["descriptor"])
    return QuantizerChoice(descriptor, described["is_dynamic"])


def _plain_width(given: Any) -> Any:
    return tuple(given) if isinstance(given, list) else given


def _owners(name: str) -> Iterator[str]:
    """Yield the names of all modules that a quantizer is inside."""
    parts = name.split(".")
    yield from (".".join(parts[:i]) for i in range(len(parts)))
