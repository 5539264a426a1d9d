"""What layers give on the average."""

from math import prod

import torch
from array_api_compat import torch as xp
from torch import nn

from qcore.adapters.torch.configuration.axis_roles import channel_axis
from qcore.adapters.torch.recovery.layers import is_layer
from qcore.errors import NonFiniteError
from qcore.granularity import PerChannel
from qcore.statistics import Moments


class Means:
    """What layers' outputs are on average, exactly.

    Attributes
    ----------
    of : dict
        Sums of outputs, by layer.
    of_tokens : set
        Linear layers whose outputs lie along several axes, as the tokens of texts do.
    """

    def __init__(self) -> None:
        self.of: dict[nn.Module, Moments] = {}
        self.of_tokens: set[nn.Module] = set()

    def add(self, layer: nn.Module, output: torch.Tensor) -> None:
        """Take an output in."""
        assert is_layer(layer)
        axis = channel_axis(layer)
        if axis == -1 and output.ndim > 2:
            self.of_tokens.add(layer)
        # Batches may have any number of axes: all but that of the channels become one.
        rows = output.movedim(axis, 0)
        rows = rows.reshape(rows.shape[0], prod(rows.shape[1:]))
        if layer in self.of:
            self.of[layer] = self.of[layer].update(rows)
        else:
            self.of[layer] = Moments.of(rows, order=1, granularity=PerChannel(0), xp=xp)

    def check(self, layer: nn.Module, name: str) -> None:
        """Refuse what is not finite."""
        if int(self.of[layer].nonfinite.sum()):
            raise NonFiniteError(
                f"outputs must be finite; {name or 'the model'} gives NaN or infinity."
            )
