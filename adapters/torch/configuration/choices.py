"""What a configuration decides for one module."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from qcore.adapters.torch.nn.modules.registry import quantized_class
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor


@dataclass(frozen=True)
class QuantizerChoice:
    """How one quantizer is made.

    Attributes
    ----------
    descriptor : QuantDescriptor
        How it quantizes.
    is_dynamic : bool
        Whether the range is that of each tensor, never calibrated.
    """

    descriptor: ScaledQuantDescriptor
    is_dynamic: bool = False

    def apply(self, quantizer: TensorQuantizer, /) -> None:
        """Let a quantizer made from the descriptor be dynamic if it is to."""
        if self.is_dynamic:
            quantizer.drop_calibrator()

    def make(self) -> TensorQuantizer:
        """Return a new quantizer."""
        made = TensorQuantizer(self.descriptor)
        self.apply(made)
        return made


Operands = Mapping[str, QuantizerChoice]
"""Name of an operand to how it is quantized."""


@dataclass(frozen=True)
class ModuleChoice:
    """Which of a module's tensors are quantized, and how.

    Attributes
    ----------
    tensors : Operands
        Of ``"input"``, ``"weight"`` and ``"output"``, those that are quantized.
    functions : mapping of str to Operands
        Of the operands of functions that it calls, see `quantize_functions`.
    """

    tensors: Operands = field(default_factory=dict)
    functions: Mapping[str, Operands] = field(default_factory=dict)

    @property
    def input(self) -> QuantizerChoice | None:
        """Of what enters it."""
        return self.tensors.get("input")

    @property
    def weight(self) -> QuantizerChoice | None:
        """Of its weights."""
        return self.tensors.get("weight")

    @property
    def output(self) -> QuantizerChoice | None:
        """Of what leaves it."""
        return self.tensors.get("output")

    def is_empty(self) -> bool:
        """Whether nothing is quantized."""
        return not (self.tensors or self.functions)


class Config(Protocol):
    """A configuration that was read and found valid."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What its rules are called when they match nothing."""

    @property
    def calibrates(self) -> bool:
        """Whether the model is to be calibrated."""

    def choose(
        self, name: str, module: nn.Module
    ) -> tuple[ModuleChoice | None, frozenset[int]]:
        """Return what is decided for a module, and which rules had a say."""


def float_class(module: nn.Module, /) -> type[nn.Module] | None:
    """Return the class of torch, or its nearest base, that could be quantized."""
    found = (base for base in type(module).__mro__ if issubclass(base, nn.Module))
    return next((base for base in found if quantized_class(base)), None)
