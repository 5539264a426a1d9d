"""What calibrators share: statistics of the core, and the range they lead to."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from array_api_compat import torch as xp

from qcore.adapters.torch.given_data import check_tensor
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.calibrate import compute_range
from qcore.qparams import amax_from_range
from qcore.spec import QuantSpec
from qcore.statistics import Histogram, Range


class _Calibrator(ABC):
    """Collects statistics of the tensors it sees.

    Parameters
    ----------
    num_bits : int or (4, 3)
        Width of the integers, or float8_e4m3fn.
    axis : int or tuple of int or None
        The axes that are kept.
    unsigned : bool
        Whether codes are not negative.
    spec : QuantSpec, optional
        Says all of this, and more; wins.

    Attributes
    ----------
    statistics : qcore statistics or None
        What was collected; may be replaced, by a merge with that of others.
    """

    def __init__(
        self,
        num_bits: Any = 8,
        axis: int | tuple[int, ...] | None = None,
        unsigned: bool = False,
        *,
        spec: QuantSpec | None = None,
    ) -> None:
        if spec is None:
            spec = ScaledQuantDescriptor(
                num_bits=num_bits, axis=axis, unsigned=unsigned
            ).spec()
        self._num_bits, self._axis, self._unsigned = num_bits, axis, unsigned
        self.spec = spec
        self.statistics: Any = None

    @abstractmethod
    def collect(self, x: torch.Tensor) -> None:
        """Count a tensor in."""

    def reset(self) -> None:
        """Forget what was collected."""
        self.statistics = None

    def compute_range(
        self, method: str, **options: Any
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """
        Return the range that a method of the core chooses.

        Parameters
        ----------
        method : str
            One of `qcore.methods`.
        **options
            Those of the method.

        Returns
        -------
        (lo, hi) : tuple of Tensor or None
            float32, of the shape of the scales (0-d for one); None if nothing was seen.

        Raises
        ------
        UnknownMethodError, NonFiniteError
            As `qcore.calibrate`.
        """
        seen = self.statistics
        if seen is None or is_empty(seen):
            return None
        ends = compute_range(seen, self.spec, method, **options)
        lo, hi = (
            end if isinstance(end, torch.Tensor) else torch.from_numpy(end)
            for end in ends
        )
        return lo.reshape(seen.extents), hi.reshape(seen.extents)

    def compute_amax(self, method: str, **options: Any) -> torch.Tensor | None:
        """
        Return the largest magnitude that a method of the core chooses.

        Parameters
        ----------
        method, **options
            As of `compute_range`.

        Returns
        -------
        Tensor or None
            float32, with the kept axes in the rank of the data, 0-d for one scale; None
            if nothing was seen.

        Raises
        ------
        UnknownMethodError, NonFiniteError
            As `qcore.calibrate`.
        """
        found = self.compute_range(method, **options)
        if found is None:
            return None
        amax: torch.Tensor = amax_from_range(*found, self.spec.format, xp=xp)
        return amax

    def __repr__(self) -> str:
        """Return its settings."""
        return (
            f"{type(self).__name__}(num_bits={self._num_bits} axis={self._axis} "
            f"unsigned={self._unsigned})"
        )


def data_of(x: torch.Tensor) -> torch.Tensor:
    """Return values to count: without a graph, floating-point."""
    check_tensor(x, "x", has_values=True)
    if x.is_complex():
        raise TypeError(f"`x` must be real; got {x.dtype}.")
    x = x.detach()
    return x if x.is_floating_point() else x.to(torch.float32)


def is_empty(seen: Histogram | Range) -> bool:
    """Return whether there was no value at all, not even NaN."""
    return not bool((seen.min <= seen.max).any() | (seen.nonfinite > 0).any())
