"""Handwritten digits and a small residual network that reads them.

The pictures are the 1797 of scikit-learn, 8 x 8 pixels; the network has 20 thousand
weights and learns them in a few seconds on a CPU.
"""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from torch import nn


@dataclass(frozen=True)
class Digits:
    """Pictures ``[N, 1, 8, 8]`` from 0 to 1, and the digits they show."""

    pictures: torch.Tensor
    labels: torch.Tensor

    def batches(self, size: int, *, seed: int | None = None) -> list["Digits"]:
        """Return batches, shuffled if there is a seed."""
        count = len(self.labels)
        if seed is None:
            order = torch.arange(count)
        else:
            order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        parts = order.split(size)
        return [Digits(self.pictures[part], self.labels[part]) for part in parts]


def load() -> tuple[Digits, Digits]:
    """Return 1000 pictures to train with and 797 to test with."""
    data = load_digits()
    pictures = torch.from_numpy(data.images).float()[:, None] / 16
    labels = torch.from_numpy(data.target)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    parts = (order[:1000], order[1000:])
    train, test = (Digits(pictures[part], labels[part]) for part in parts)
    return train, test


class Block(nn.Module):
    """Two convolutions around which the input goes, as in ResNet."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.downsample = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's output."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class Network(nn.Sequential):
    """A stem, three blocks and a linear layer: logits ``[N, 10]``."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            Block(8, 8),
            Block(8, 16, 2),
            Block(16, 32, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(32, 10),
        )


def train(
    model: nn.Module, data: Digits, *, epochs: int, rate: float, last_rate: float = 0.0
) -> None:
    """Train by momentum, the learning rate annealed along a cosine."""
    optimizer = torch.optim.SGD(
        model.parameters(), rate, momentum=0.9, weight_decay=1e-4
    )
    steps = epochs * len(data.batches(64))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, last_rate)
    model.train()
    for epoch in range(epochs):
        for batch in data.batches(64, seed=epoch):
            optimizer.zero_grad()
            found = model(batch.pictures)
            nn.functional.cross_entropy(found, batch.labels).backward()
            optimizer.step()
            schedule.step()
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, data: Digits) -> float:
    """Return the share of pictures read right, in percent."""
    right = model(data.pictures).argmax(1) == data.labels
    return 100 * float(right.double().mean())
