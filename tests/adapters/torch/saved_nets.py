"""A network to save, and the way there and back."""

import torch
from torch import nn

X = torch.randn(4, 3, 6, 6, generator=torch.manual_seed(0))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu() + x


class Net(nn.Module):
    """A residual block, normalisation and a head."""

    def __init__(self, classes: int = 5, head: type[nn.Module] = nn.Linear) -> None:
        super().__init__()
        self.block = Block()
        self.norm = nn.BatchNorm2d(3)
        self.head = head(108, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.block(x)).flatten(1))


def float_net(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net().eval()


def assert_same(restored: nn.Module, model: nn.Module, x: torch.Tensor = X) -> None:
    """Compare the outputs and what quantizers print, amax and stages among it."""
    assert str(restored) == str(model)
    assert torch.equal(restored(x), model(x))
