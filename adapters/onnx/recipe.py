"""How activations get their scales: a spec, a method, and the method's options."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from qcore import Histogram, QParams, QuantSpec, calibrate
from qcore.statistics import Statistics

ONE_VALUE = Histogram.of(np.zeros(1, np.float32))


@dataclass(frozen=True)
class Recipe:
    """How the codes of a tensor are chosen from its statistics."""

    spec: QuantSpec
    method: str = "mse"
    options: Mapping[str, Any] = field(default_factory=dict)

    def decide(self, seen: Statistics, scale_dtype: str = "float32") -> QParams:
        """Return scale and zero point, the scale rounded up to a dtype."""
        spec = replace(self.spec, scale_dtype=scale_dtype)
        return calibrate(seen, spec, self.method, **self.options)

    def check(self) -> None:
        """Refuse what the method does not know, before minutes of calibration."""
        self.decide(ONE_VALUE)
