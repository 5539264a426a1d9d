"""Give a function back what rounding has cost it, layer by layer.

Each layer is looked at on what the quantized ones before it make of the data. Its
weights are rounded so that its output changes least ("GPTQ", arXiv:2210.17323), and its
bias then takes out the mean error that is left ("Data-Free Quantization Through Weight
Equalization and Bias Correction", arXiv:1906.04721).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from qcore import QParams
from qcore.adapters.jax.arguments import check_function
from qcore.adapters.jax.calibration import settled_qparams
from qcore.adapters.jax.config import as_config
from qcore.adapters.jax.given import by_site
from qcore.adapters.jax.plans import by_index
from qcore.adapters.jax.recovery.layer_by_layer import new_leaves
from qcore.adapters.jax.recovery.layers import find_layers
from qcore.adapters.jax.recovery.traced_calls import (
    flat_programs,
    place_of_weights,
    traced_calls,
    with_leaves,
)
from qcore.adapters.jax.recovery.unrolled import unrolled
from qcore.errors import QuantError
from qcore.statistics import Statistics


class Recovered(NamedTuple):
    """What `recover` gives back.

    Attributes
    ----------
    params : pytree
        As they were given, other numbers in the place of some.
    qparams : dict
        By names of sites; those of all weights that were rounded are among them, under
        which `fake_quant` and `quantize_params` find the very codes that were chosen.
        Layers that a loop scans over have none, as before: the least and the largest
        weights kept their codes, so that the scales of their values stay.
    left : dict
        What could not be done, and why, by names of the sites of weights.
    """

    params: Any
    qparams: dict[str, QParams]
    left: dict[str, str]


def recover(
    f: Callable[..., Any],
    config: Any = None,
    qparams: Mapping[str, QParams | Statistics] | None = None,
    /,
) -> Callable[[Any, Iterable[Any]], Recovered]:
    """
    Return a function from parameters and data to parameters that lose less.

    Weights become what codes stand for that change the output of their layer least.
    Where nothing but one parameter for each output is added to a product, that bias
    then takes out the mean error that is left; elsewhere it stays. Of dense products of
    tokens, data of three axes and more, it takes out that of their own weights: the
    mean of all errors is there that of a few tokens with huge numbers.

    Parameters
    ----------
    f, config, qparams
        As of `fake_quant`. One argument alone holds the weights.

    Returns
    -------
    callable
        Takes the argument of `f` that holds the weights, and an iterable over calls:
        for each a tuple of the other arguments, by position, or the only other one.
        It gives `Recovered`. What layers make of all calls is held in memory at once.
        Nothing is compiled as a whole, and it can be no part of what JAX compiles.

        Layers that a loop scans over are done each on its own. Weights stay that
        several products share, or the rounds of a loop, or that are used otherwise,
        too; that are no mere layout of parameters; and those inside of branches, whose
        data are quantized nevertheless.

    Raises
    ------
    TypeError
        If `f` is no function, or qparams are something else.
    QuantError
        By the function, as by that of `fake_quant`; or if calls differ in more than
        shapes, several arguments are weights, or no weight can be recovered: says why.
    NoDataError
        If there is no call.
    NonFiniteError
        If a product is NaN or infinite; names it.
    """
    check_function(f)
    config = as_config(config)
    given = by_site(qparams, "qparams")
    where = place_of_weights(f, config.weights)

    def recovered(params: Any, data: Iterable[Any], /) -> Recovered:
        programs = traced_calls(f, where, params, data)
        plans, used = settled_qparams(programs[0], config, given)
        programs, plans = unrolled(programs, plans)
        flats = flat_programs(programs)
        layers, left = find_layers(programs[0], flats[0], plans)
        if not layers:
            raise QuantError(
                "`f` must have a weight that can be recovered; "
                + ("it has none." if not left else f"{_listed(left)}.")
            )
        found, weights = new_leaves(programs, flats, layers, by_index(plans), used)
        left |= {
            layer.name: "has no bias of its own, so that its mean error stays"
            for layer in layers
            if layer.bias is None
        }
        return Recovered(
            with_leaves(params, programs[0], found), {**used, **weights}, left
        )

    return recovered


def _listed(left: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {reason}" for name, reason in left.items())
