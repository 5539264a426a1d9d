"""Calibration to the largest magnitude seen."""

from typing import Any

import numpy as np
import torch

from qcore.adapters.torch.calib.calibrator import _Calibrator, data_of
from qcore.spec import QuantSpec
from qcore.statistics import Range


class MaxCalibrator(_Calibrator):
    """Keeps the largest magnitude.

    Parameters
    ----------
    num_bits, axis, unsigned
        As in `_Calibrator`.
    track_amax : bool, optional
        Keep the largest magnitude of each tensor too, in `amaxs`.
    """

    def __init__(
        self,
        num_bits: Any = 8,
        axis: int | tuple[int, ...] | None = None,
        unsigned: bool = False,
        track_amax: bool = False,
        *,
        spec: QuantSpec | None = None,
    ) -> None:
        super().__init__(num_bits, axis, unsigned, spec=spec)
        self.statistics: Range | None = None
        self._track_amax = track_amax
        self._amaxs: list[np.ndarray] = []

    @property
    def amaxs(self) -> list[np.ndarray]:
        """The largest magnitudes of each tensor, if they are tracked."""
        return self._amaxs

    @torch.no_grad()
    def collect(self, x: torch.Tensor) -> None:
        """
        Count a tensor in.

        Raises
        ------
        RuntimeError
            If its channels are not those of the tensors before.
        """
        batch = Range.of(data_of(x), granularity=self.spec.granularity)
        seen = self.statistics
        if seen is not None and batch.extents != seen.extents:
            raise RuntimeError(
                f"amax shape changed: every tensor must have {seen.extents} scales; "
                f"got {batch.extents}."
            )
        self.statistics = batch if seen is None else seen.merge(batch)
        if self._track_amax:
            lo, hi = batch.min, batch.max
            self._amaxs.append(
                torch.maximum(-lo, hi).reshape(batch.extents).cpu().numpy()
            )

    def compute_amax(self, method: str = "max", **options: Any) -> torch.Tensor | None:
        """
        Return the largest magnitude seen, as `_Calibrator.compute_amax` does.

        Of unsigned codes it is the largest value: what is negative saturates.
        """
        return super().compute_amax(method, **options)

    def reset(self) -> None:
        """Forget what was collected."""
        super().reset()
        self._amaxs = []

    def __repr__(self) -> str:
        """Return its settings, as pytorch-quantization prints them."""
        return f"MaxCalibrator(track_amax={self._track_amax})"
