"""Observers with the names and parameters of the Horizon plugin's, for any dtype."""

from qcore.adapters.torch.observers.base import ObserverBase
from qcore.adapters.torch.observers.clip import ClipObserver
from qcore.adapters.torch.observers.clip_std import ClipStdObserver
from qcore.adapters.torch.observers.fixed_scale import FixedScaleObserver
from qcore.adapters.torch.observers.histogram import HistogramObserver
from qcore.adapters.torch.observers.kl import KLObserver
from qcore.adapters.torch.observers.loading import load_observer_params
from qcore.adapters.torch.observers.min_max import MinMaxObserver
from qcore.adapters.torch.observers.mix import MixObserver
from qcore.adapters.torch.observers.moving_average import (
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
)
from qcore.adapters.torch.observers.mse import MSEObserver
from qcore.adapters.torch.observers.norm import NormObserver
from qcore.adapters.torch.observers.percentile import PercentileObserver

__all__ = [
    "ClipObserver",
    "ClipStdObserver",
    "FixedScaleObserver",
    "HistogramObserver",
    "KLObserver",
    "MSEObserver",
    "MinMaxObserver",
    "MixObserver",
    "MovingAverageMinMaxObserver",
    "MovingAveragePerChannelMinMaxObserver",
    "NormObserver",
    "ObserverBase",
    "PercentileObserver",
    "load_observer_params",
]
