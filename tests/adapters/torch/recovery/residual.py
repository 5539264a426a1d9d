"""A network with each kind of layer that has a bias, and how it is quantized."""

import torch
from torch import nn

COARSE = {
    "type": ["Linear", "Conv1d", "Conv2d", "ConvTranspose2d"],
    "input": {"num_bits": 8, "calib_method": "mse", "symmetric": False},
    "weight": {"num_bits": 4, "axis": "output"},
}


class Residual(nn.Module):
    """A convolution that is used twice, a branch and a linear layer."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1, bias=bias)
        self.twice = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.up = nn.ConvTranspose2d(4, 6, 2, 2, groups=2)
        self.head = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x).relu()
        x = x + self.twice(x).relu()
        x = self.twice(x).relu()
        found: torch.Tensor = self.head(self.up(x).mean((2, 3)))
        return found
