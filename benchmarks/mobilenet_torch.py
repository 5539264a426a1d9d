"""MobileNet v1 in PyTorch, filled from the weights of the public ONNX model."""

import onnx
import torch
from onnx import numpy_helper
from torch import nn

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
"""Of the depthwise convolutions."""


class Convolution(nn.Sequential):
    """Padding as TensorFlow has it, a convolution and ReLU6."""

    def __init__(self, channels_in: int, channels: int, size: int, stride: int) -> None:
        depthwise = channels_in == channels and size == 3
        padding = size // 2 if stride == 1 else 0
        super().__init__(
            nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 else nn.Identity(),
            nn.Conv2d(
                channels_in,
                channels,
                size,
                stride,
                padding,
                groups=channels if depthwise else 1,
            ),
            nn.ReLU6(),
        )


class MobileNet(nn.Module):
    """Pictures ``[N, 3, 224, 224]`` from -1 to 1 to logits ``[N, 1000]``."""

    def __init__(self) -> None:
        super().__init__()
        widths = (24, 48, 96, 96, 192, 192, 384, 384, 384, 384, 384, 384, 768, 768)
        self.conv1 = Convolution(3, widths[0], 3, 2)
        pairs = list(zip(widths[:-1], widths[1:], STRIDES, strict=True))
        self.dw = nn.ModuleList(Convolution(a, a, 3, stride) for a, _, stride in pairs)
        self.pw = nn.ModuleList(Convolution(a, b, 1, 1) for a, b, _ in pairs)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.preds = nn.Linear(widths[-1], 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = self.conv1(x)
        for depthwise, pointwise in zip(self.dw, self.pw, strict=True):
            x = pointwise(depthwise(x))
        found: torch.Tensor = self.preds(self.pool(x).flatten(1))
        return found


def filled(path: str) -> MobileNet:
    """Return the network with the weights of an ONNX file, in evaluation mode."""
    arrays = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(path).graph.initializer
        if tensor.name.partition(".")[0] in ("conv1", "dw", "pw", "preds")
    }

    def place(name: str) -> str:
        """Return where a tensor lies here: the convolution is second of three."""
        layer, _, kind = name.rpartition(".")
        return name if layer == "preds" else f"{layer}.1.{kind}"

    model = MobileNet()
    model.load_state_dict({place(name): array for name, array in arrays.items()})
    return model.eval()
