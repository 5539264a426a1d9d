"""Run a model once for each kind of statistics that its tensors' methods read."""

from collections.abc import Mapping
from typing import Any

from qcore import Histogram, Top2
from qcore.adapters.onnx.calibration import calibrate_prepared
from qcore.adapters.ppq.config import TensorQuantizationConfig
from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.loader import Cycled
from qcore.methods.registry import find_method
from qcore.statistics import Statistics

Kind = tuple[type[Statistics], tuple[tuple[str, Any], ...]]
"""Statistics and the options that they are collected with."""


def collect(
    graph: QuantizedGraph, groups: Mapping[str, tuple[str, ...]], samples: Cycled
) -> dict[str, Statistics]:
    """
    Return statistics of the tensors that decide ranges.

    Parameters
    ----------
    graph : QuantizedGraph
        Of which model.
    groups : mapping
        By the tensor whose method counts: all that share its scale and have values of
        their own.
    samples : Cycled
        What the model is fed.
    """
    kinds: dict[Kind, list[str]] = {}
    for name, sources in groups.items():
        kinds.setdefault(_kind(graph.tensors[name]), []).extend(sources)
    found: dict[str, Statistics] = {}
    for (kind, options), names in kinds.items():
        statistics: Any = kind  # whichever it is, it has `of` and `update`
        found |= calibrate_prepared(
            graph.float_model,
            samples,
            names,
            statistics=statistics,
            options=dict(options),
        )
    return found


def _kind(config: TensorQuantizationConfig) -> Kind:
    method = find_method(config.observer_algorithm)
    kind = Histogram if Histogram in method.needs else method.needs[0]
    options = dict(config.details.statistics)
    if kind is Top2 and config.spec is not None:
        options["format"] = config.spec.format
    return kind, tuple(options.items())
