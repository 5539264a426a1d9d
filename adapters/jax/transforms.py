"""Functions in, functions out: fake quantization and the collection of statistics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from qcore import Histogram, PerChannel, QParams, qparams_from_data
from qcore.adapters.jax.calls import Closed
from qcore.adapters.jax.config import Config, Plan, as_config
from qcore.adapters.jax.fake_quantize import fake_quantize
from qcore.adapters.jax.integer_dot import integer_product, why_not
from qcore.adapters.jax.interpreter import Index, Interpreter, bound
from qcore.adapters.jax.sites import sites_of, weight_mask
from qcore.errors import QuantError
from qcore.libraries import load_backends
from qcore.statistics.base import state_extents

load_backends("jax.numpy")

Statistics = dict[str, Histogram]
QParamsBySite = Mapping[str, QParams]


def fake_quant(
    f: Callable[..., Any],
    config: Any = None,
    qparams: QParamsBySite | None = None,
    /,
    *,
    quantized_dot: bool = False,
) -> Callable[..., Any]:
    """
    Return a function that computes `f` on quantized operands.

    Parameters
    ----------
    f : callable
        Traceable by JAX; arguments and results are pytrees of arrays.
    config : Config, rules or None, optional
        Which sites, and how; static. By default all, see `config.DEFAULT`.
    qparams : mapping, optional
        From names of sites to `QParams`, as `calibrate` returns them; traced. Without
        an entry, weights take the range of their values; activations must be dynamic.
    quantized_dot : bool, optional
        Compute products on integers wherever `quantized_dots` says so; static.

    Returns
    -------
    callable
        Of the signature of `f`. It can be compiled, differentiated (straight through),
        mapped and scanned over.

    Raises
    ------
    QuantError
        By the function, if static activations have no entry: names them all.
    """
    config = as_config(config)
    given = dict(qparams or {})

    @wraps(f)
    def quantized(*args: Any, **kwargs: Any) -> Any:
        program = _traced(f, config, args, kwargs)
        missing = [
            plan.site.name
            for plan in program.plans
            if not (plan.dynamic or plan.site.is_weight or plan.site.name in given)
        ]
        if missing:
            raise QuantError(
                "every static site must be calibrated; there are no qparams of "
                f"{', '.join(missing)}."
            )
        outputs, _ = program.run(
            _Rounding(program.by_index, given, quantized_dot), None
        )
        return outputs

    return quantized


def collect(f: Callable[..., Any], config: Any = None, /) -> Callable[..., Any]:
    """
    Return a function that computes `f` and counts what its sites see.

    Parameters
    ----------
    f, config
        As of `fake_quant`.

    Returns
    -------
    callable
        From statistics, or None to begin with, and the arguments of `f` to its result
        and new statistics: a dict from names of sites to `Histogram`. It is pure, so it
        can be compiled and scanned over; under `shard_map` devices' counts are added.
    """
    config = as_config(config)

    @wraps(f)
    def collecting(statistics: Statistics | None, *args: Any, **kwargs: Any) -> Any:
        program = _traced(f, config, args, kwargs)
        wanted = {
            plan.site.name: plan
            for plan in program.plans
            if not (plan.dynamic or plan.site.is_weight)
        }
        counting = _Counting(program.by_index)
        state = {name: _empty(plan) for name, plan in wanted.items()}
        if statistics is not None:
            _check_names(statistics, state)
            state = {name: statistics[name] for name in state}
        return program.run(counting, state)

    return collecting


@dataclass(frozen=True)
class _Program:
    """A traced call, and what is to be done at its sites."""

    closed: core.ClosedJaxpr
    inputs: list[Any]
    tree: Any
    plans: list[Plan]

    @property
    def by_index(self) -> dict[Index, list[Plan]]:
        """The plans of each equation."""
        found: dict[Index, list[Plan]] = {}
        for plan in self.plans:
            found.setdefault(plan.site.index, []).append(plan)
        return found

    def run(self, visitor: Any, state: Any) -> tuple[Any, Any]:
        """Return the result of the function, and the state after it."""
        interpreter = Interpreter(frozenset(self.by_index), visitor)
        # Constants of NumPy are kept as they are.
        program = Closed(self.closed.jaxpr, list(map(jnp.asarray, self.closed.consts)))
        outputs, state = interpreter.run(program, self.inputs, state)
        return jax.tree.unflatten(self.tree, outputs), state


def _traced(
    f: Callable[..., Any], config: Config, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> _Program:
    closed, shapes = jax.make_jaxpr(f, return_shape=True)(*args, **kwargs)
    is_weight = weight_mask(config.weights, args, kwargs)
    plans = config.plans(sites_of(closed, is_weight))
    inputs = list(map(jnp.asarray, jax.tree.leaves((args, kwargs))))
    return _Program(closed, inputs, jax.tree.structure(shapes), plans)


@dataclass(frozen=True)
class _Rounding:
    """Computes sites on quantized operands."""

    plans: Mapping[Index, list[Plan]]
    qparams: QParamsBySite
    quantized_dot: bool

    def visit(
        self, index: Index, equation: core.JaxprEqn, inputs: list[Any], state: Any
    ) -> tuple[list[Any], Any]:
        """Quantize the operands that have a plan."""
        inputs, used = list(inputs), {}
        for plan in self.plans[index]:
            x = inputs[plan.site.operand]
            qparams = self.qparams.get(plan.site.name)
            if qparams is None:
                seen = jax.lax.stop_gradient(x)
                qparams = qparams_from_data(seen, plan.spec, xp=jnp)
            used[plan.site.operand] = qparams
        specs = {operand: qparams.spec for operand, qparams in used.items()}
        if self.quantized_dot and why_not(equation, specs) is None:
            return integer_product(equation, inputs, used), state
        for operand, qparams in used.items():
            inputs[operand] = fake_quantize(inputs[operand], qparams)
        return bound(equation, inputs), state

    def empty(self, state: Any) -> Any:
        """Return the state: there is none."""
        return state

    def reduced(self, state: Any, axes: tuple[str, ...]) -> Any:
        """Return the state: there is none."""
        del axes
        return state

    def merged(self, before: Any, after: Any) -> Any:
        """Return the state: there is none."""
        del after
        return before


@dataclass(frozen=True)
class _Counting:
    """Counts the operands of sites, and computes them as they are."""

    plans: Mapping[Index, list[Plan]]

    def visit(
        self, index: Index, equation: core.JaxprEqn, inputs: list[Any], state: Any
    ) -> tuple[list[Any], Any]:
        """Count the operands that have a plan and are not weights."""
        state = dict(state)
        for plan in self.plans[index]:
            name = plan.site.name
            if name in state:
                x = jax.lax.stop_gradient(inputs[plan.site.operand])
                state[name] = state[name].update(x)
        return bound(equation, inputs), state

    def empty(self, state: Any) -> Any:
        """Return states that have seen nothing."""
        return {
            name: _nothing(seen.bins, seen.granularity, seen.extents)
            for name, seen in state.items()
        }

    def reduced(self, state: Any, axes: tuple[str, ...]) -> Any:
        """Return the states of all devices as one."""
        return {name: _reduced(seen, axes) for name, seen in state.items()}

    def merged(self, before: Any, after: Any) -> Any:
        """Return what was seen before and after."""
        return {name: seen.merge(after[name]) for name, seen in before.items()}


def _empty(plan: Plan) -> Histogram:
    granularity = plan.spec.granularity
    extents = state_extents(granularity, plan.site.shape)
    return _nothing(plan.bins, granularity, extents)


def _nothing(bins: int, granularity: Any, extents: tuple[int, ...]) -> Histogram:
    """Return a histogram of no values, one for each of the extents."""
    blank = jnp.zeros((prod(extents), 0), jnp.float32)
    seen = Histogram.of(blank, bins=bins, granularity=PerChannel(0))
    return replace(seen, granularity=granularity, extents=extents)


def _reduced(seen: Histogram, axes: tuple[str, ...]) -> Histogram:
    """Return the counts of all devices: the widest slots, then a sum."""
    with jax.enable_x64(True):
        seen = seen.rescale(jax.lax.pmax(seen.k, axes))
        summed = {
            name: jax.lax.psum(getattr(seen, name), axes) for name in seen.counted
        }
        return replace(
            seen,
            min=jax.lax.pmin(seen.min, axes),
            max=jax.lax.pmax(seen.max, axes),
            **summed,
        )


def _check_names(statistics: Statistics, wanted: Mapping[str, Any]) -> None:
    if set(statistics) != set(wanted):
        different = sorted(set(statistics) ^ set(wanted))
        raise QuantError(
            "statistics must be of the sites of the function; they differ in "
            f"{', '.join(different)}."
        )
