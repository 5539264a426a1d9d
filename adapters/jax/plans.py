"""The plans of a program's sites, and whether what is given fits them."""

from collections.abc import Mapping, Sequence

from qcore import QParams
from qcore.adapters.jax.config import Plan
from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.sites import Site
from qcore.errors import QuantError
from qcore.statistics import Statistics

CHANGED = "Did `f`, the rules or the structure of an argument change since?"


def by_index(plans: Sequence[Plan], /) -> dict[Index, list[Plan]]:
    """Return the plans of each equation."""
    found: dict[Index, list[Plan]] = {}
    for plan in plans:
        found.setdefault(plan.site.index, []).append(plan)
    return found


def check_qparams(
    sites: Sequence[Site], plans: Sequence[Plan], qparams: Mapping[str, QParams], /
) -> None:
    """Raise QuantError unless all sites that need scales have some that fit."""
    missing = [
        plan.site.name
        for plan in plans
        if plan.is_collected and plan.site.name not in qparams
    ]
    if missing:
        raise QuantError(
            "every static site must be calibrated; there are no qparams of "
            f"{', '.join(missing)}."
        )
    by_name = {site.name: site for site in sites}
    strangers = [name for name in qparams if name not in by_name]
    if strangers:
        raise QuantError(
            "qparams must be of the sites of `f`; it has none with the names "
            f"{', '.join(strangers)}. {CHANGED}"
        )
    for name, one in qparams.items():
        check_scales(by_name[name], one)


def check_scales(site: Site, qparams: QParams, /) -> None:
    """Raise QuantError unless scales fit the operand of a site."""
    found = tuple(qparams.scale.shape)
    try:
        wanted = qparams.spec.granularity.scale_shape(site.shape)
    except ValueError as error:
        raise QuantError(f"scales must fit {site.name}: {error} {CHANGED}") from error
    if qparams.scale.size != 1 and found != wanted:
        raise QuantError(
            f"scales must have the shape {wanted} at {site.name}, of shape "
            f"{site.shape}; got {found}. {CHANGED}"
        )


def check_statistics(
    statistics: Mapping[str, Statistics], wanted: Mapping[str, Statistics], /
) -> None:
    """Raise QuantError unless statistics are such as are collected."""
    if set(statistics) != set(wanted):
        different = sorted(set(statistics) ^ set(wanted))
        raise QuantError(
            "statistics must be of the sites of `f`; they differ in "
            f"{', '.join(different)}. {CHANGED}"
        )
    for name, expected in wanted.items():
        seen = statistics[name]
        if type(seen) is not type(expected):
            raise QuantError(
                f"statistics must be {type(expected).__name__} at {name}; got "
                f"{type(seen).__name__}. {CHANGED}"
            )
        for setting in expected.static_fields():
            given, here = getattr(seen, setting), getattr(expected, setting)
            if given != here:
                raise QuantError(
                    f"statistics must have the {setting} {here} at {name}; got "
                    f"{given}. {CHANGED}"
                )
