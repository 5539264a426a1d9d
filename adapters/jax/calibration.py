"""From what sites saw to their scales."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp

from qcore import QParams
from qcore import calibrate as choose
from qcore.adapters.jax.arguments import check_function
from qcore.adapters.jax.computed_now import computed_now
from qcore.adapters.jax.config import Config, Plan, as_config
from qcore.adapters.jax.explicit_axes import off_mesh
from qcore.adapters.jax.given import by_site
from qcore.adapters.jax.plans import CHANGED, check_qparams
from qcore.adapters.jax.program import Program, traced
from qcore.adapters.jax.sites import sites_of
from qcore.adapters.jax.weights import calibrated_weights
from qcore.errors import QuantError
from qcore.statistics import Statistics


def calibrate(
    f: Callable[..., Any], config: Any, statistics: Mapping[str, Statistics], /
) -> Callable[..., dict[str, QParams]]:
    """
    Return a function from the arguments of `f` to the qparams of its static sites.

    Weights have some where their method is not ``"minmax"``, which follows their
    values in each call, and these do not differ between the rounds of a loop or between
    devices. Sites that share weights share their scales.

    Parameters
    ----------
    f, config
        As of `fake_quant`; static.
    statistics : mapping
        As `collect` returns them. They may be traced; nothing can be raised then, and
        scales of what was not finite are NaN.

    Returns
    -------
    callable
        Takes the arguments of `f`, or their shapes (`jax.ShapeDtypeStruct`); weights
        that have a method other than ``"minmax"`` are read. It gives a dict from names
        of sites to `QParams`, whose scales have the rank of the operand, or none.

    Raises
    ------
    QuantError
        By the function, if a site has no statistics, or such as no range can be chosen
        from, or weights to be read are shapes: names the site.
    """
    check_function(f)
    config = as_config(config)
    seen = by_site(statistics, "statistics")

    def calibrated(*args: Any, **kwargs: Any) -> dict[str, QParams]:
        program = traced(f, config.weights, args, kwargs)
        plans = config.plans(sites_of(program.closed, program.is_weight))
        return chosen_qparams(program, plans, seen)

    return calibrated


def settled_qparams(
    program: Program, config: Config, given: Mapping[str, QParams | Statistics], /
) -> tuple[list[Plan], Mapping[str, QParams]]:
    """Return plans, and qparams as given or chosen from statistics; see `fake_quant`.

    Raises
    ------
    QuantError
        If static sites have none, or there are some of others.
    """
    sites = sites_of(program.closed, program.is_weight)
    plans = config.plans(sites)
    used: Mapping[str, Any] = given
    if any(isinstance(one, Statistics) for one in given.values()):
        used = chosen_qparams(program, plans, given)
    check_qparams(sites, plans, used)
    return plans, used


def chosen_qparams(
    program: Program, plans: Sequence[Plan], statistics: Mapping[str, Any], /
) -> dict[str, QParams]:
    """Return the qparams of the static sites of a program; see `calibrate`."""
    found = calibrated_weights(program, plans, statistics)
    wanted = {plan.site.name: plan for plan in plans if plan.is_collected}
    missing = [name for name in wanted if name not in statistics]
    if missing:
        raise QuantError(
            f"statistics must hold every site; {', '.join(missing)} are missing. "
            f"{CHANGED}"
        )
    for name, plan in wanted.items():
        seen = statistics[name]
        try:
            with computed_now(seen):
                found[name] = off_mesh(partial(_chosen, plan), seen)
        except QuantError as error:
            raise type(error)(f"{name}: {error}") from error
    return found


def _chosen(plan: Plan, seen: Statistics) -> QParams:
    return choose(seen, plan.spec, plan.method, xp=jnp, **dict(plan.options))
