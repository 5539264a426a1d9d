"""What modules share that do to a quantized input what torch's do to any."""

import torch
from torch import nn

from qcore.adapters.torch.nn.modules._utils import QuantInputMixin


class QuantizedInput(QuantInputMixin, nn.Module):
    """Quantizes the input of the module that follows in the order of inheritance."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return what the module makes of its quantized input."""
        made: torch.Tensor = super().forward(self._input_quantizer(input))
        return made
