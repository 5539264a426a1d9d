"""The observers of ``horizon_plugin_pytorch.quantization.observer``."""

from qcore.adapters.torch.observers import (
    ClipObserver,
    ClipStdObserver,
    FixedScaleObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)

__all__ = [
    "ClipObserver",
    "ClipStdObserver",
    "FixedScaleObserver",
    "MovingAverageMinMaxObserver",
    "MovingAveragePerChannelMinMaxObserver",
]
