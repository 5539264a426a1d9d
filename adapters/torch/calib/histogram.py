"""Calibration from histograms: collected once, read by any method, any time."""

from typing import Any

import torch
from array_api_compat import torch as xp

from qcore.adapters.torch.calib.calibrator import _Calibrator, data_of
from qcore.adapters.torch.calib.weights import calibrate_weights
from qcore.libraries import library_name
from qcore.methods.registry import find_method
from qcore.spec import QuantSpec
from qcore.statistics import Histogram

__all__ = ["HistogramCalibrator", "calibrate_weights"]


class HistogramCalibrator(_Calibrator):
    """Counts values in a histogram, per tensor or per channel.

    Parameters
    ----------
    num_bits, axis, unsigned
        As in `_Calibrator`.
    num_bins : int, optional
        Resolution, see `qcore.Histogram`.
    grow_method : str, optional
        Ignored: histograms grow without loss.
    skip_zeros : bool, optional
        Leave out zeros.
    torch_hist : bool, optional
        Count where the tensors are; else on the host, in NumPy's arrays.
    """

    def __init__(
        self,
        num_bits: Any = 8,
        axis: int | tuple[int, ...] | None = None,
        unsigned: bool = False,
        num_bins: int = 2048,
        grow_method: str | None = None,
        skip_zeros: bool = False,
        torch_hist: bool = True,
        *,
        spec: QuantSpec | None = None,
    ) -> None:
        del grow_method
        super().__init__(num_bits, axis, unsigned, spec=spec)
        self.statistics: Histogram | None = None
        self._num_bins = num_bins
        self._skip_zeros = skip_zeros
        self._torch_hist = torch_hist

    @torch.no_grad()
    def collect(self, x: torch.Tensor) -> None:
        """
        Count a tensor in.

        Raises
        ------
        ValueError
            If its channels are not those of the tensors before.
        """
        data: Any = data_of(x)
        if not self._torch_hist:
            data = data.float().cpu().numpy()
        mask = data != 0 if self._skip_zeros else None
        if self.statistics is None:
            self.statistics = Histogram.of(
                data,
                bins=self._num_bins,
                granularity=self.spec.granularity,
                mask=mask,
            )
        else:
            self.statistics = self.statistics.update(data, mask=mask)

    def compute_range(
        self, method: str, **options: Any
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return the range that a method of the core chooses, as `_Calibrator` does."""
        if method == "histogram":
            raise TypeError(
                "`method` must be one of 'entropy', 'mse', 'percentile', 'auto' or "
                "another of qcore.methods(); got none."
            )
        return super().compute_range(method, **options)

    def compute_amax(
        self,
        method: str,
        *,
        stride: int = 1,
        start_bin: int = 128,
        percentile: float = 99.99,
        **options: Any,
    ) -> torch.Tensor | None:
        """
        Return the largest magnitude to represent, as a method finds it.

        Parameters
        ----------
        method : str
            ``"entropy"``, ``"mse"``, ``"percentile"`` or another of `qcore.methods`.
        stride, start_bin : int, optional
            Of entropy and mse: which slots end a candidate range.
        percentile : float, optional
            Of percentile, in [0, 100].
        **options
            Those of other methods.

        Returns
        -------
        Tensor or None
            float32, with the kept axes in the rank of the data, 0-d for one scale; None
            if nothing was collected.

        Raises
        ------
        UnknownMethodError
            If no method has that name; a TypeError.
        ValueError
            If an option is out of range.
        NonFiniteError
            If NaN or infinity was seen.
        """
        name = find_method(method).name
        if name in ("entropy", "mse"):
            options = {"stride": stride, **options}
            # The default is the number of levels of int8, fewer than which make no
            # sense there; other widths have others, which the method knows.
            if start_bin != 128 or self.spec.format.bits == 8:
                options["start_bin"] = start_bin
        elif name == "percentile":
            options = {"percentile": percentile, **options}
        return super().compute_amax(method, **options)

    @property
    def _calib_hist(self) -> torch.Tensor | None:
        """How often each magnitude occurred, int64, zeros in the first slot."""
        seen = self._on_torch()
        if seen is None:
            return None
        counts: torch.Tensor = seen.counts.sum(1)
        counts[:, 0] += seen.zeros
        return counts.reshape(*seen.extents, -1)

    @property
    def _calib_bin_edges(self) -> torch.Tensor | None:
        """Where the slots of `_calib_hist` end, float64."""
        seen = self._on_torch()
        if seen is None:
            return None
        steps = torch.arange(seen.slots + 1, device=seen.k.device, dtype=torch.float64)
        edges: torch.Tensor = seen.width[:, None] * steps
        return edges.reshape(*seen.extents, -1)

    def _on_torch(self) -> Histogram | None:
        seen = self.statistics
        if seen is None or library_name(seen.xp) == "torch":
            return seen
        return seen.to(xp, torch.device("cpu"))

    def __repr__(self) -> str:
        """Return its settings."""
        return (
            f"HistogramCalibrator(num_bins={self._num_bins} "
            f"skip_zeros={self._skip_zeros})"
        )
