"""Finds NaN and infinity while a model is calibrated, at one glance a batch."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.errors import NonFiniteError

Quantizers = list[tuple[str, TensorQuantizer]]


class Watch:
    """Counts the batches of a run, from 1, and looks at what quantizers saw in each."""

    def __init__(self, quantizers: Callable[[], Quantizers]) -> None:
        self.quantizers = quantizers  # asked each time: the first batch may make some
        self.batches = 0

    def after_forward(self, *_: Any) -> None:
        """Check what the batch left behind; a forward hook of the model."""
        self.batches += 1
        self.check(f"batch {self.batches}")

    def check(self, place: str) -> None:
        """
        Refuse NaN and infinity.

        Raises
        ------
        NonFiniteError
            If a quantizer saw one; names all that did, and the place.
        """
        flags: dict[torch.device, list[tuple[str, torch.Tensor]]] = defaultdict(list)
        for name, quantizer in self.quantizers():
            seen = quantizer.calibrator.statistics
            if seen is not None:
                # Sums, as nobody counts to where int64 wraps.
                total = torch.as_tensor(seen.nonfinite.sum())
                flags[total.device].append((name or "the quantizer", total))
        for found in flags.values():
            names, totals = zip(*found, strict=True)
            counted = torch.stack(totals).tolist()  # the one wait for a device
            tainted = [n for n, count in zip(names, counted, strict=True) if count]
            if tainted:
                raise NonFiniteError(
                    f"data must be finite; {', '.join(tainted)} saw NaN or infinity in "
                    f"{place}."
                )
