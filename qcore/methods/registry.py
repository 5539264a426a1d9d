"""The table of calibration methods: statistics in, range out."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qcore.errors import StatisticsError, UnknownMethodError, nearest
from qcore.spec import QuantSpec
from qcore.statistics import Statistics
from qcore.typing import Array, Namespace

MethodFunction = Callable[..., tuple[Array, Array]]


@dataclass(frozen=True)
class Method:
    """A calibration method and the statistics it can read."""

    name: str
    function: MethodFunction
    needs: tuple[type[Statistics], ...]

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options it takes."""
        parameters = inspect.signature(self.function).parameters.values()
        keywords = (p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
        return tuple(name for name in keywords if name != "xp")

    def __call__(
        self,
        statistics: Statistics,
        spec: QuantSpec,
        /,
        *,
        xp: Namespace,
        **options: Any,
    ) -> tuple[Array, Array]:
        """Return the ends of the ranges, checked for wrong statistics and options."""
        if not isinstance(statistics, self.needs):
            names = " or ".join(kind.__name__ for kind in self.needs)
            raise StatisticsError(
                f"method {self.name!r} needs {names}; got {type(statistics).__name__}."
            )
        for option in options:
            if option not in self.options:
                hint = nearest(option, self.options) if self.options else "it has none."
                raise TypeError(
                    f"method {self.name!r} has no option {option!r}: {hint}"
                )
        return self.function(statistics, spec, xp=xp, **options)


_methods: dict[str, Method] = {}
_aliases: dict[str, str] = {}


def register_method(
    name: str,
    /,
    *aliases: str,
    needs: tuple[type[Statistics], ...],
    overwrite: bool = False,
) -> Callable[[MethodFunction], MethodFunction]:
    """
    Return a decorator that adds a calibration method under a name.

    Parameters
    ----------
    name, *aliases : str
        What it is called, in any case.
    needs : tuple of statistics classes
        What it can read; given anything else, the caller gets an error naming these.
    overwrite : bool, optional
        Whether names may be taken. A method whose name is taken is removed with all its
        aliases; one whose alias is taken just loses that.

    Returns
    -------
    decorator
        For a pure function ``(statistics, spec, *, xp, **options) -> (lo, hi)``, the
        range ends float32 ``[C]``. It must be traceable: no branch on values.

    Raises
    ------
    ValueError
        If a name is taken and `overwrite` is false.

    Examples
    --------
    >>> import numpy as np
    >>> import qcore
    >>> @qcore.register_method("half", needs=(qcore.Range,), overwrite=True)
    ... def half(statistics, spec, *, xp):
    ...     return statistics.min / 2, statistics.max / 2
    >>> seen = qcore.Range.of(np.asarray([-8.0, 4.0], dtype=np.float32))
    >>> [float(end[0]) for end in qcore.compute_range(seen, qcore.QuantSpec(), "half")]
    [-4.0, 2.0]
    """
    key, *others = names = [wanted.lower() for wanted in (name, *aliases)]
    for taken in names:
        if not overwrite and (taken in _methods or taken in _aliases):
            raise ValueError(
                f"method {taken!r} is registered already; pass `overwrite=True`."
            )

    def register(function: MethodFunction) -> MethodFunction:
        for taken in names:
            _remove(taken)
        _methods[key] = Method(key, function, needs)
        _aliases.update(dict.fromkeys(others, key))
        return function

    return register


def _remove(name: str) -> None:
    """Forget an alias, or a method with all its aliases, if there is one."""
    _methods.pop(name, None)
    for alias in [other for other, key in _aliases.items() if name in (other, key)]:
        del _aliases[alias]


def methods() -> tuple[str, ...]:
    """Return the names of all calibration methods, sorted, without aliases."""
    return tuple(sorted(_methods))


def find_method(name: str, /) -> Method:
    """Return the method of that name or alias.

    Raises
    ------
    UnknownMethodError
        If there is none; it names the nearest.
    """
    if not isinstance(name, str):
        raise TypeError(f"`method` must be a name; got {type(name).__name__}.")
    key = _aliases.get(name.lower(), name.lower())
    if key not in _methods:
        hint = nearest(name, (*_methods, *_aliases))
        raise UnknownMethodError(f"`method` must be a known name; got {name!r}: {hint}")
    return _methods[key]
