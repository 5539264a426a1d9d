"""Ranges of weights, which are all known before the function runs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from qcore import Histogram, QParams, calibrate, mean_ratio, qparams_from_weights
from qcore.adapters.jax.computed_now import computed_now
from qcore.adapters.jax.config import MINMAX, OUTPUT, Plan
from qcore.adapters.jax.explicit_axes import off_mesh
from qcore.adapters.jax.known_operands import known_operands
from qcore.adapters.jax.program import Program
from qcore.adapters.jax.sites import OPERANDS
from qcore.errors import NonFiniteError, QuantError
from qcore.libraries import arithmetic, is_concrete, namespace
from qcore.methods.registry import find_method
from qcore.transfer import to_host


def qparams_of_weight(
    plan: Plan, weight: jax.Array, inputs: Sequence[Histogram], /
) -> QParams:
    """
    Return the qparams of weights by the method of their plan.

    Parameters
    ----------
    plan : Plan
        With ``"output"``, the output of the site is expected to change least, see
        `qcore.qparams_from_weights`; other methods see the weights' histogram.
    weight : array
        Operand of the site; traced or not.
    inputs : sequence of Histogram
        Of what the weights are multiplied by; without, its mean is taken to be zero.

    Raises
    ------
    NonFiniteError
        If the weights are known and not finite.
    """
    if plan.method != OUTPUT:
        seen = Histogram.of(weight, bins=plan.bins, granularity=plan.spec.granularity)
        return calibrate(seen, plan.spec, plan.method, xp=jnp, **dict(plan.options))
    if jnp.finfo(weight.dtype).bits < 32:
        weight = weight.astype(jnp.float32)  # which has all their values
    if is_concrete(weight, jnp) and not bool(jnp.isfinite(weight).all()):
        raise NonFiniteError("weights must be finite; they hold NaN or infinity.")
    xp: Any = jnp
    if _are_on_host(weight, *inputs):
        # XLA compiles the search for each shape, which takes longer than it does.
        weight = to_host(weight, xp=jnp)
        xp = namespace(weight)
        inputs = [seen.to(xp) for seen in inputs]
    with arithmetic(xp):
        ratios = [mean_ratio(seen, xp=xp).mean() for seen in inputs]
        ratio = sum(ratios) / max(len(ratios), 1)
        found = qparams_from_weights(weight, plan.spec, mean_ratio=ratio, xp=xp)
    chosen: QParams = jax.tree.map(jnp.asarray, found)
    return chosen


def _are_on_host(*given: Any) -> bool:
    """Return whether all arrays are known and lie in the memory of the host."""
    return all(
        is_concrete(x, jnp) and all(one.platform == "cpu" for one in x.devices())
        for x in jax.tree.leaves(given)
    )


def calibrated_weights(
    program: Program, plans: Sequence[Plan], statistics: Mapping[str, Any], /
) -> dict[str, QParams]:
    """Return the qparams of weights whose method reads them, by the names of sites.

    Sites that share weights share their scales. Without an entry are weights that
    differ between the rounds of a loop or between devices.
    """
    read = list(filter(_is_read, plans))
    if not read:
        return {}
    known = known_operands(program.closed, program.leaves, program.is_weight)
    shared: dict[Any, list[Plan]] = {}
    for plan in read:
        weight = known.get((plan.site.index, plan.site.operand))
        if weight is not None:
            how = (plan.spec, plan.method, plan.options, plan.bins)
            shared.setdefault((weight, how), []).append(plan)
    found: dict[str, QParams] = {}
    for (weight, _), same in shared.items():
        names = [plan.site.name for plan in same]
        if isinstance(weight.value, jax.ShapeDtypeStruct):
            raise QuantError(
                f"weights must be given for method {same[0].method!r} at {names[0]}; "
                f"got their shape. {MINMAX!r} follows them in each call instead."
            )
        inputs = [statistics.get(_other(plan)) for plan in same]
        histograms = [seen for seen in inputs if isinstance(seen, Histogram)]
        try:
            with computed_now(weight.value, histograms):
                chosen = off_mesh(
                    partial(qparams_of_weight, same[0]), weight.value, histograms
                )
        except QuantError as error:
            raise type(error)(f"{', '.join(names)}: {error}") from error
        found |= dict.fromkeys(names, chosen)
    return found


def _other(plan: Plan) -> str:
    """Return the name of the site of the other operand."""
    name, operand = plan.site.name, plan.site.operand
    return name.removesuffix(OPERANDS[operand]) + OPERANDS[1 - operand]


def _is_read(plan: Plan) -> bool:
    """Return whether the method of a plan needs the weights before they are used."""
    if plan.dynamic or not plan.site.is_weight:
        return False
    return plan.method == OUTPUT or find_method(plan.method).name != MINMAX
