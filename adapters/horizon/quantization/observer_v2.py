"""The observers of ``horizon_plugin_pytorch.quantization.observer_v2``."""

from qcore.adapters.torch.observers import (
    ClipObserver,
    ClipStdObserver,
    FixedScaleObserver,
    KLObserver,
    MinMaxObserver,
    MixObserver,
    MSEObserver,
    NormObserver,
    ObserverBase,
    PercentileObserver,
    load_observer_params,
)

__all__ = [
    "ClipObserver",
    "ClipStdObserver",
    "FixedScaleObserver",
    "KLObserver",
    "MSEObserver",
    "MinMaxObserver",
    "MixObserver",
    "NormObserver",
    "ObserverBase",
    "PercentileObserver",
    "load_observer_params",
]
