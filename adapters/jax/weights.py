"""Ranges of weights, which are all known before the function runs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from qcore import Histogram, QParams, calibrate, mean_ratio, qparams_from_weights
from qcore.adapters.jax.calls import Closed, bound
from qcore.adapters.jax.config import OUTPUT, Plan
from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.kinds import bodies_of
from qcore.adapters.jax.origins import LOOPS, PRIMITIVES, bodies_with
from qcore.adapters.jax.sites import OPERANDS
from qcore.errors import QuantError
from qcore.methods.registry import find_method
from qcore.transfer import to_host

Place = tuple[Index, int]
"""Where an equation is, and which of its operands."""

_UNKNOWN = None
"""What is not made of weights alone, or differs between rounds or devices."""


def qparams_of_weight(
    plan: Plan, weight: jax.Array, inputs: Histogram | None, /
) -> QParams:
    """
    Return the qparams of weights by the method of their plan.

    Parameters
    ----------
    plan : Plan
        With ``"output"``, the output of the site is expected to change least, see
        `qcore.qparams_from_weights`; other methods see the weights' histogram.
    weight : array
        Operand of the site, concrete.
    inputs : Histogram or None
        Of the other operand; without, its mean is taken to be zero.
    """
    if plan.method == OUTPUT:
        with jax.enable_x64(True):
            ratio = 0.0 if inputs is None else float(mean_ratio(inputs, xp=jnp).mean())
        # XLA compiles the search for each shape, which takes longer than it does.
        is_on_host = all(device.platform == "cpu" for device in weight.devices())
        values = to_host(weight, xp=jnp) if is_on_host else weight
        found = qparams_from_weights(values, plan.spec, mean_ratio=ratio)
        chosen: QParams = jax.tree.map(jnp.asarray, found)
        return chosen
    seen = Histogram.of(weight, bins=plan.bins, granularity=plan.spec.granularity)
    return calibrate(seen, plan.spec, plan.method, xp=jnp, **dict(plan.options))


def known_weights(leaves: Sequence[Any], is_weight: Sequence[bool], /) -> list[Any]:
    """Return the inputs of a program that are weights, or their shapes."""
    return [
        _UNKNOWN
        if not held
        else leaf
        if isinstance(leaf, jax.ShapeDtypeStruct)
        else jnp.asarray(leaf)
        for leaf, held in zip(leaves, is_weight, strict=True)
    ]


def calibrated_weights(
    program: core.ClosedJaxpr,
    inputs: Sequence[Any],
    plans: Sequence[Plan],
    statistics: Mapping[str, Any],
    /,
) -> dict[str, QParams]:
    """Return the qparams of weights whose method reads them.

    Without an entry are weights that differ between the rounds of a loop or between
    devices. `inputs` are those of the program, as `known_weights` has them.
    """
    wanted = {
        (plan.site.index, plan.site.operand): plan for plan in plans if _is_read(plan)
    }
    if not wanted:
        return {}
    found = {}
    operands: dict[Place, Any] = {}
    _outputs(Closed(program.jaxpr, program.consts), inputs, (), operands)
    for place, plan in wanted.items():
        name, weight = plan.site.name, operands[place]
        if weight is _UNKNOWN:
            continue
        if isinstance(weight, jax.ShapeDtypeStruct):
            raise QuantError(
                f"weights must be given for method {plan.method!r} at {name}; "
                "got their shape."
            )
        other = name.removesuffix(OPERANDS[place[1]]) + OPERANDS[1 - place[1]]
        seen = statistics.get(other)
        try:
            found[name] = qparams_of_weight(
                plan, weight, seen if isinstance(seen, Histogram) else None
            )
        except QuantError as error:
            raise type(error)(f"{name}: {error}") from error
    return found


def _is_read(plan: Plan) -> bool:
    """Return whether the method of a plan needs the weights before they are used."""
    if plan.dynamic or not plan.site.is_weight:
        return False
    return plan.method == OUTPUT or find_method(plan.method).name != "minmax"


def _outputs(
    program: Closed, inputs: Sequence[Any], index: Index, found: dict[Place, Any]
) -> list[Any]:
    """Return the outputs of a program that are known, and add its operands to `found`.

    Known is what is made of weights and constants, such as the indices of rows too.
    """
    known = dict(zip(program.jaxpr.invars, inputs, strict=True))
    known.update(zip(program.jaxpr.constvars, program.consts, strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for number, equation in enumerate(program.jaxpr.eqns):
        here = (*index, number)
        given = [value(atom) for atom in equation.invars]
        name = equation.primitive.name
        made = [_UNKNOWN] * len(equation.outvars)
        if name in PRIMITIVES:
            found |= {(here, i): given[i] for i in range(2)}
        bodies = list(_bodies(equation, given))
        for part, (body, held) in enumerate(bodies):
            outputs = _outputs(body, held, (*here, part), found)
            if name not in LOOPS:
                made = outputs
        if not (bodies or equation.effects or any(x is _UNKNOWN for x in given)):
            made = _computed(equation, given)
        known.update(zip(equation.outvars, made, strict=True))
    return [value(atom) for atom in program.jaxpr.outvars]


def _computed(equation: core.JaxprEqn, given: list[Any]) -> list[Any]:
    """Return the outputs of an equation, or their shapes if its inputs have no more."""
    if any(isinstance(value, jax.ShapeDtypeStruct) for value in given):
        outputs: list[Any] = jax.eval_shape(lambda *x: bound(equation, list(x)), *given)
        return outputs
    return bound(equation, given)


def _bodies(
    equation: core.JaxprEqn, given: list[Any]
) -> Iterator[tuple[Closed, list[Any]]]:
    """Yield the programs inside of an equation, each with what it knows."""
    same = len(given)
    if equation.primitive.name == "scan":
        same = equation.params["num_consts"]
    elif equation.primitive.name == "shard_map":
        same = 0
    given = [*given[:same], *(_UNKNOWN for _ in given[same:])]
    held = bodies_with(equation, given, _UNKNOWN)
    yield from zip(bodies_of(equation), (inputs for _, inputs in held), strict=True)
