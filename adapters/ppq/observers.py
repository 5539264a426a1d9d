"""Calibration by classes of the user's, as PPQ registers them."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from qcore.errors import QuantError, StatisticsError
from qcore.methods.ends import spanned
from qcore.methods.registry import register_method
from qcore.spec import QuantSpec
from qcore.statistics import Range, Statistics
from qcore.statistics.base import static
from qcore.typing import Array, Namespace


class Observer(Protocol):
    """What sees the values of one tensor and then tells its range."""

    def observe(self, x: np.ndarray, /) -> None:
        """Take in the values of one sample, of the shape they have in the model."""

    def render(self) -> tuple[float, float]:
        """Return both ends of the range."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Observed(Statistics):
    """What observers of the user's have seen: one for each tensor of a group.

    Attributes
    ----------
    observers : tuple of Observer
        They change as they see more, unlike other statistics; so they are kept in no
        file and merged with none of another run.
    """

    observers: tuple[Observer, ...] = static()

    kind: ClassVar[type[Observer]]

    @classmethod
    def of(cls, x: np.ndarray, /) -> Self:
        """Return what a new observer saw in an array of any shape."""
        observer = cls.kind()
        observer.observe(x)
        return cls(observers=(observer,), **_ends(Range.of(x)))

    def update(self, x: np.ndarray, /) -> Self:
        """Return this with what the observer saw in another array."""
        (observer,) = self.observers
        observer.observe(x)
        seen = self._merged(self._plain(Range.of(x)), xp=self.xp)
        return replace(seen, observers=self.observers)

    def merge(self, other: Self, /) -> Self:
        """Return both, whose range holds those of either."""
        if type(other) is not type(self):
            raise StatisticsError(
                f"`other` must be of the same observers; got {type(other).__name__}."
            )
        both = (*self.observers, *other.observers)
        return replace(self._merged(other, xp=self.xp), observers=both)

    def _plain(self, seen: Range) -> Self:
        return type(self)(observers=(), **_ends(seen))


def _ends(seen: Range) -> dict[str, Any]:
    names = ("min", "max", "nans", "infs", "granularity", "extents")
    return {name: getattr(seen, name) for name in names}


def register_calibration_observer(
    algorithm: str, observer: type[Observer], *, overwrite: bool = True
) -> None:
    """
    Let tensors be calibrated by a class of the user's, by name.

    The name joins those of ``qcore.methods()``, as if `qcore.register_method` had added
    it. Ranges per tensor alone; each tensor has an object of its own.

    Parameters
    ----------
    algorithm : str
        The name, in any case.
    observer : type
        Called without arguments, it gives an object with ``observe(x)``, which takes
        the values of a sample as a float32 array, and ``render()``, which returns the
        ends ``(lo, hi)`` of the range; they are widened to hold 0, and mirrored if
        symmetric.
    overwrite : bool, optional
        Whether a method may be replaced, as PPQ does; one of qcore's own is so for all
        of the process.

    Raises
    ------
    TypeError
        If it is no class, or lacks one of the two.
    ValueError
        If the name is taken and must not be replaced.
    """
    if not isinstance(observer, type):
        raise TypeError(
            f"`observer` must be a class; got one {type(observer).__name__}."
        )
    for name in ("observe", "render"):
        if not callable(getattr(observer, name, None)):
            raise TypeError(
                f"`observer` must have a method `{name}`; {observer.__name__} has none."
            )
    kind = type(f"Observed{observer.__name__}", (Observed,), {"kind": observer})

    @register_method(algorithm, needs=(kind,), overwrite=overwrite)
    def rendered(
        statistics: Observed, spec: QuantSpec, /, *, xp: Namespace
    ) -> tuple[Array, Array]:
        found = [_rendered(algorithm, seen) for seen in statistics.observers]
        low = min(ends[0] for ends in found)
        high = max(ends[1] for ends in found)
        lo, hi = (xp.full_like(statistics.min, end) for end in (low, high))
        return spanned(lo, hi, spec, xp=xp)


def _rendered(algorithm: str, observer: Observer) -> tuple[float, float]:
    given = observer.render()
    try:
        low, high = (float(end) for end in given)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not -np.inf < low <= high < np.inf:
        raise QuantError(
            f"`render` of {algorithm!r} must return two ascending finite numbers; "
            f"got {given!r}."
        )
    return low, high
