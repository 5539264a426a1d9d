"""What is collected at a site: its kind, its beginning, and devices' states as one."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from math import prod
from typing import Any

import jax
import jax.numpy as jnp

from qcore import Histogram, MovingRange, PerChannel, QuantSpec, Range, Top2
from qcore.adapters.jax.arguments import check_names
from qcore.errors import QuantError, StatisticsError, nearest
from qcore.methods.registry import find_method
from qcore.statistics import Statistics
from qcore.statistics.base import state_extents
from qcore.statistics.tally import K_MIN

KINDS: Mapping[str, type[Statistics]] = {
    "histogram": Histogram,
    "moving_range": MovingRange,
    "range": Range,
    "top2": Top2,
}
"""By their names in a rule."""

Kind = tuple[type[Statistics], tuple[tuple[str, Any], ...]]
"""A class of statistics, and options of its `of`."""


def kind_for(method: str, wanted: Any, /, bins: int) -> Kind:
    """
    Return what a method is to read.

    Parameters
    ----------
    method : str
        Of calibration.
    wanted : str, mapping or None
        A name of `KINDS`, or a mapping with one as its ``kind`` and options beside. By
        default a `Histogram`, or what the method needs if it cannot read one.
    bins : int
        Of a histogram.

    Raises
    ------
    ValueError
        If there is no such kind.
    StatisticsError
        If the method cannot read it.
    """
    needs = find_method(method).needs
    options = dict(wanted) if isinstance(wanted, Mapping) else {"kind": wanted}
    name = options.pop("kind", None)
    kind: type[Statistics] = Histogram if Histogram in needs else needs[0]
    if name is not None:
        if not isinstance(name, str) or name not in KINDS:
            hint = nearest(str(name), KINDS)
            raise ValueError(f"`statistics` must be a known kind; got {name!r}: {hint}")
        kind = KINDS[name]
    if kind not in needs:
        names = " or ".join(one.__name__ for one in needs)
        raise StatisticsError(f"method {method!r} needs {names}; got {kind.__name__}.")
    if kind is Histogram:
        options.setdefault("bins", bins)
    return kind, tuple(sorted(options.items()))


def nothing_seen(kind: Kind, spec: QuantSpec, shape: tuple[int, ...], /) -> Statistics:
    """Return statistics of no values, for data of a shape."""
    of, options = kind[0], dict(kind[1])
    extents = state_extents(spec.granularity, shape)
    found: dict[str, Any] = {"granularity": spec.granularity, "extents": extents}
    if of is Top2:
        options["format"] = spec.format
        found["axis"] = options.pop("axis", -1)
    blank = jnp.zeros((prod(extents), 0), jnp.float32)
    seen = of.of(blank, granularity=PerChannel(0), **options)  # type: ignore[attr-defined]
    state: Statistics = replace(seen, **found)
    return state


def beside(arguments: Any, /) -> AbstractContextManager[Any]:
    """Make arrays on the device of the arguments, if they lie on one."""
    found: set[jax.Device] = set()
    for x in jax.tree.leaves(arguments):
        if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer):
            found |= x.devices()
    return jax.default_device(found.pop()) if len(found) == 1 else nullcontext()


def emptied(seen: Statistics, /) -> Statistics:
    """Return statistics of no values, such as others are, wherever those lie."""

    def filled(like: jax.Array, value: float) -> jax.Array:
        return jnp.full(like.shape, value, like.dtype)

    with jax.enable_x64(True):
        found = {name: filled(getattr(seen, name), 0) for name in seen.counted}
        found["min"] = filled(seen.min, jnp.inf)
        found["max"] = filled(seen.max, -jnp.inf)
        if isinstance(seen, Histogram):
            found["k"] = filled(seen.k, K_MIN)
        return replace(seen, **found)  # type: ignore[arg-type]


def sync_statistics(
    statistics: Mapping[str, Statistics], axis_name: Any, /
) -> dict[str, Statistics]:
    """
    Return the statistics of all devices of a mapped axis, the same on each.

    For a function that collects inside of a `shard_map`, `pmap` or named `vmap`. Let it
    begin with None each time and merge what it gives: what was seen before would be
    added once for each device. Where the mapped function lies inside of what `collect`
    is given, that does all this itself.

    Parameters
    ----------
    statistics : mapping
        As `collect` gives them on one device. Traced.
    axis_name : str or tuple of str
        Of the mapped axes. Static.

    Returns
    -------
    dict
        The bits that one device would have found.

    Raises
    ------
    QuantError
        If some depend on the order of what they see: names the sites.
    TypeError
        If these are no statistics or no names.
    """
    check_names(statistics, "`statistics`", "names of sites")
    for name, seen in statistics.items():
        if not isinstance(seen, Statistics):
            raise TypeError(
                f"`statistics` must hold statistics; got {type(seen).__name__} for "
                f"{name!r}."
            )
    named = axis_name if isinstance(axis_name, tuple | list) else (axis_name,)
    if not all(isinstance(one, str) for one in named):
        raise TypeError(
            f"`axis_name` must be a name of an axis or several; got {axis_name!r}."
        )
    axes = tuple(named)
    ordered = [n for n, seen in statistics.items() if isinstance(seen, MovingRange)]
    if ordered:
        raise QuantError(
            "statistics of several devices must not depend on an order, as MovingRange "
            f"does at {', '.join(ordered)}; collect Range there."
        )
    return {name: _summed(seen, axes) for name, seen in statistics.items()}


def _summed(seen: Statistics, axes: tuple[str, ...]) -> Statistics:
    """Return the counts of all devices: the widest slots, then a sum."""
    with jax.enable_x64(True):
        found: dict[str, Any] = {
            "min": jax.lax.pmin(seen.min, axes),
            "max": jax.lax.pmax(seen.max, axes),
        }
        if isinstance(seen, Histogram):
            found["k"] = jax.lax.pmax(seen.k, axes)
            seen = seen.rescale(found["k"])
        for name in seen.counted:
            found[name] = jax.lax.psum(getattr(seen, name), axes)
        return replace(seen, **found)
