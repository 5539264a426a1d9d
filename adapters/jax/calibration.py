"""From what sites saw to their scales."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from qcore import Histogram, QParams
from qcore import calibrate as choose
from qcore.adapters.jax.config import as_config
from qcore.adapters.jax.sites import sites_of, weight_mask
from qcore.adapters.jax.weights import calibrated_weights, known_weights
from qcore.errors import QuantError


def calibrate(
    f: Callable[..., Any], config: Any, statistics: Mapping[str, Histogram], /
) -> Callable[..., dict[str, QParams]]:
    """
    Return a function from the arguments of `f` to the qparams of its static sites.

    Weights have some where their method is not ``"minmax"``, which follows their
    values, and these do not differ between the rounds of a loop or between devices.

    Parameters
    ----------
    f, config
        As of `fake_quant`.
    statistics : mapping
        As `collect` returns them.

    Returns
    -------
    callable
        Takes the arguments of `f`, or their shapes; weights that have a method other
        than ``"minmax"`` are read.

    Raises
    ------
    QuantError
        By the function, if a site has no statistics, or such as no range can be chosen
        from, or weights to be read are shapes: names the site.
    """
    config = as_config(config)

    def calibrated(*args: Any, **kwargs: Any) -> dict[str, QParams]:
        program = jax.make_jaxpr(f)(*args, **kwargs)
        is_weight = weight_mask(config.weights, args, kwargs)
        plans = config.plans(sites_of(program, is_weight))
        given = known_weights(jax.tree.leaves((args, kwargs)), is_weight)
        found = calibrated_weights(program, given, plans, statistics)
        for plan in plans:
            name = plan.site.name
            if plan.dynamic or plan.site.is_weight:
                continue
            if name not in statistics:
                raise QuantError(f"statistics must hold every site; {name} is missing.")
            try:
                found[name] = choose(
                    statistics[name],
                    plan.spec,
                    plan.method,
                    xp=jnp,
                    **dict(plan.options),
                )
            except QuantError as error:
                raise type(error)(f"{name}: {error}") from error
        return found

    return calibrated
