"""Functions on NumPy's arrays, lent to a library whose arrays are memory too."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qcore.kernels import declined
from qcore.libraries import arithmetic, namespace
from qcore.methods.registry import Method
from qcore.methods.solve import solve
from qcore.spec import QuantSpec
from qcore.statistics import Statistics

Function = Callable[..., Any]

LIKE_FIRST = {"fake_quantize_data", "fake_quantize_gradient"}
"""Kernels whose result, or its first part, is of the dtype of the first argument."""


@dataclass(frozen=True)
class Lender:
    """How a library's arrays become NumPy's and NumPy's the library's.

    Attributes
    ----------
    kind
        The class of its arrays.
    reason
        Returns why the memory of some arrays is out of reach, if it is.
    to_numpy
        Returns the same memory.
    from_numpy
        Returns an array like another, of its dtype only if that is told.
    """

    kind: type
    reason: Callable[[Sequence[Any]], str | None]
    to_numpy: Callable[[Any], np.ndarray]
    from_numpy: Callable[[np.ndarray, Any, bool], Any]

    def lent(self, function: Function, name: str) -> Function:
        """Return a function of NumPy's arrays as one of the library's."""
        keeps_dtype = name in LIKE_FIRST
        served = solve_on_host if name == "solve" else function

        def native(first: Any, /, *arguments: Any, **options: Any) -> Any:
            lent: dict[int, Any] = {}

            def host(x: Any) -> Any:
                if isinstance(x, self.kind):
                    seen = self.to_numpy(x)
                    lent[id(seen)] = x
                    return seen
                if isinstance(x, Statistics):
                    return replace(x, **{n: host(v) for n, v in _arrays(x).items()})
                return x

            def back(x: Any, *, is_like: bool = False) -> Any:
                if id(x) in lent:
                    return lent[id(x)]
                return self.from_numpy(x, first, is_like)

            reason = self.reason(self._owned((first, *arguments, *options.values())))
            if reason is not None:
                return declined(reason)
            given = [host(x) for x in (first, *arguments)]
            named = {name: host(x) for name, x in options.items()}
            with np.errstate(all="ignore"):
                found = served(*given, **named)
            if isinstance(found, np.ndarray):
                return back(found, is_like=keeps_dtype)
            if not isinstance(found, tuple):
                return found
            parts = [
                back(x, is_like=keeps_dtype and i == 0) for i, x in enumerate(found)
            ]
            return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)

        return native

    def _owned(self, arguments: Iterable[Any]) -> list[Any]:
        """Return the arrays of the library among arguments, and those of states."""
        found = []
        for x in arguments:
            if isinstance(x, self.kind):
                found.append(x)
            elif isinstance(x, Statistics):
                found += _arrays(x).values()
        return found


def _arrays(statistics: Statistics) -> dict[str, Any]:
    return {name: getattr(statistics, name) for name in statistics.array_fields()}


def solve_on_host(
    low: np.ndarray,
    statistics: Statistics,
    spec: QuantSpec,
    method: Method,
    options: tuple[tuple[str, Any], ...],
    /,
) -> Any:
    """Return what the kernel `solve` does on NumPy, in all of its steps.

    A method of somebody else may ask for arrays of its library.
    """
    if not method.function.__module__.startswith("qcore.methods."):
        return declined("a method that was registered from outside")
    if any(hasattr(value, "shape") for _, value in options):
        return declined("an option is an array")
    xp = namespace(low)
    with arithmetic(xp):
        return solve(low, statistics, spec, method, options, xp=xp)
