"""Which products of a function can be computed on integers."""

from collections.abc import Callable, Mapping
from typing import Any

import jax

from qcore import QParams
from qcore.adapters.jax.config import as_config
from qcore.adapters.jax.integer_dot import why_not
from qcore.adapters.jax.interpreter import equations_of
from qcore.adapters.jax.sites import PRIMITIVES, sites_of, weight_mask


def quantized_dots(
    f: Callable[..., Any],
    config: Any = None,
    qparams: Mapping[str, QParams] | None = None,
    /,
) -> Callable[..., dict[str, str | None]]:
    """
    Return a function that says what ``fake_quant(..., quantized_dot=True)`` does.

    Parameters
    ----------
    f, config, qparams
        As of `fake_quant`. Of qparams the specs alone are read; without an entry,
        that of the configuration holds.

    Returns
    -------
    callable
        Takes the arguments of `f`, or their shapes. It gives a dict from names of
        products, such as ``"encoder/dot_general:0"``, to None where codes are
        multiplied, or to why the product stays one of floating-point numbers.
    """
    config = as_config(config)
    given = dict(qparams or {})

    def listed(*args: Any, **kwargs: Any) -> dict[str, str | None]:
        program = jax.make_jaxpr(f)(*args, **kwargs)
        found = sites_of(program, weight_mask(config.weights, args, kwargs))
        specs: dict[Any, dict[int, Any]] = {}
        for plan in config.plans(found):
            site = plan.site
            chosen = given[site.name].spec if site.name in given else plan.spec
            specs.setdefault(site.index, {})[site.operand] = chosen
        equations = {
            index: equation
            for index, _, equation in equations_of(program.jaxpr, PRIMITIVES)
        }
        return {
            site.name.rpartition(".")[0]: why_not(
                equations[site.index], specs.get(site.index, {})
            )
            for site in found
            if site.operand == 0
        }

    return listed
