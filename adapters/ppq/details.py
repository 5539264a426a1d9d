"""What `config.detail` of PPQ asks of the calibration of one tensor.

Each key belongs to a method and is passed over where a tensor has another one, as it is
in PPQ.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from qcore.errors import QuantError, nearest

OBSERVER_FLOATING_MSE_FETCHES_MANUL_OVERRIDE = (
    "OBSERVER_FLOATING_MSE_FETCHES_MANUL_OVERRIDE"
)
OBSERVER_ISOTONE_OBSERVER_AXIS = "OBSERVER_ISOTONE_OBSERVER_AXIS"
OBSERVER_KL_HIST_BINS_MANUL_OVERRIDE = "OBSERVER_KL_HIST_BINS_MANUL_OVERRIDE"
OBSERVER_MIN_SCALE_MANUL_OVERRIDE = "OBSERVER_MIN_SCALE_MANUL_OVERRIDE"
OBSERVER_MSE_COMPUTE_INTERVAL_MANUL_OVERRIDE = (
    "OBSERVER_MSE_COMPUTE_INTERVAL_MANUL_OVERRIDE"
)
OBSERVER_MSE_HIST_BINS_MANUL_OVERRIDE = "OBSERVER_MSE_HIST_BINS_MANUL_OVERRIDE"
OBSERVER_PERCENTILE_MANUL_OVERRIDE = "OBSERVER_PERCENTILE_MANUL_OVERRIDE"


class _Meaning(NamedTuple):
    """The method a key is for, and an option of it, or of its statistics."""

    method: str
    option: str
    is_of_statistics: bool
    value: Callable[[Any], Any] = lambda given: given


_MEANINGS: Mapping[str, _Meaning] = {
    OBSERVER_ISOTONE_OBSERVER_AXIS: _Meaning("isotone", "axis", True),
    OBSERVER_KL_HIST_BINS_MANUL_OVERRIDE: _Meaning("entropy", "bins", True),
    OBSERVER_MSE_COMPUTE_INTERVAL_MANUL_OVERRIDE: _Meaning("mse", "stride", False),
    OBSERVER_MSE_HIST_BINS_MANUL_OVERRIDE: _Meaning("mse", "bins", True),
    OBSERVER_PERCENTILE_MANUL_OVERRIDE: _Meaning(
        "percentile", "percentile", False, lambda share: 100 * share
    ),
}

_REFUSED: Mapping[str, str] = {
    OBSERVER_FLOATING_MSE_FETCHES_MANUL_OVERRIDE: (
        "the method 'floating' reckons with all values, not with a sample of them"
    ),
    OBSERVER_MIN_SCALE_MANUL_OVERRIDE: (
        "scales have no floor but the least normal float32"
    ),
}


class Details(NamedTuple):
    """Options of the method of a tensor, and of the statistics it reads."""

    method: dict[str, Any]
    statistics: dict[str, Any]


def options_in(detail: Mapping[str, Any], method: str, /) -> Details:
    """
    Return what `detail` asks of a method, given by its name and not by an alias.

    Raises
    ------
    QuantError
        If it holds a key that is not known or that nothing in qcore corresponds to.
    """
    found = Details({}, {})
    for key, value in detail.items():
        if key in _REFUSED:
            raise QuantError(f"`detail` must not hold {key!r}: {_REFUSED[key]}.")
        if key not in _MEANINGS:
            raise QuantError(
                f"`detail` must hold known keys; got {key!r}: "
                + nearest(key, [*_MEANINGS, *_REFUSED])
            )
        meaning = _MEANINGS[key]
        if meaning.method == method:
            options = found.statistics if meaning.is_of_statistics else found.method
            options[meaning.option] = meaning.value(value)
    return found
