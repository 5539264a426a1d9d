"""Which products of a function can be computed on integers."""

from collections.abc import Callable, Mapping
from typing import Any

from qcore import QParams
from qcore.adapters.jax.arguments import check_function
from qcore.adapters.jax.config import as_config
from qcore.adapters.jax.given import by_site
from qcore.adapters.jax.integer_dot import why_not
from qcore.adapters.jax.interpreter import equations_of
from qcore.adapters.jax.origins import PRIMITIVES
from qcore.adapters.jax.program import traced
from qcore.adapters.jax.sites import sites_of


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
    check_function(f)
    config = as_config(config)
    given = by_site(qparams, "qparams")

    def listed(*args: Any, **kwargs: Any) -> dict[str, str | None]:
        program = traced(f, config.weights, args, kwargs)
        found = sites_of(program.closed, program.is_weight)
        specs: dict[Any, dict[int, Any]] = {}
        for plan in config.plans(found):
            site = plan.site
            chosen = given[site.name].spec if site.name in given else plan.spec
            specs.setdefault(site.index, {})[site.operand] = chosen
        equations = {
            place.index: equation
            for place, equation in equations_of(program.closed.jaxpr, PRIMITIVES)
        }
        return {
            site.name.rpartition(".")[0]: why_not(
                equations[site.index], specs.get(site.index, {})
            )
            for site in found
            if site.operand == 0
        }

    return listed
