"""The call that an export writes: its program, its sites and their qparams."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
from jax.extend import core

from qcore import QParams
from qcore.adapters.jax.arguments import check_function, check_names
from qcore.adapters.jax.calibration import settled_qparams
from qcore.adapters.jax.config import Plan, as_config
from qcore.adapters.jax.given import by_site
from qcore.adapters.jax.program import Program, is_array, traced
from qcore.errors import QuantError
from qcore.statistics import Statistics


@dataclass(frozen=True)
class ExportedCall:
    """
    A call, its weights known.

    Attributes
    ----------
    program : Program
        The call, traced.
    args, kwargs
        Its arguments; those by name are in the order of names, as their leaves are.
    plans : list of Plan
        What is quantized.
    qparams : mapping
        From names of sites to how.
    """

    program: Program
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    plans: list[Plan]
    qparams: Mapping[str, QParams]


def exported_call(
    f: Callable[..., Any],
    qparams: Mapping[str, QParams | Statistics] | None,
    args: tuple[Any, ...],
    config: Any,
    kwargs: Mapping[str, Any] | None,
    /,
) -> ExportedCall:
    """
    Return a call as it is exported; see `export`.

    Raises
    ------
    QuantError
        If static sites have no qparams, weights are shapes, or results are neither
        arrays nor numbers.
    ValueError, TypeError
        As `fake_quant`.
    """
    check_function(f)
    if not isinstance(args, tuple | list):
        raise TypeError(
            "`args` must be a tuple, of the arguments of `f`; got "
            f"{type(args).__name__}."
        )
    if kwargs is not None:
        check_names(kwargs, "`kwargs`", "names of arguments")
    config, named = as_config(config), dict(sorted((kwargs or {}).items()))
    args = tuple(args)
    program = traced(f, config.weights, args, named)
    _check_weights(program)
    _check_results(program)
    plans, used = settled_qparams(program, config, by_site(qparams, "qparams"))
    return ExportedCall(program, args, named, plans, used)


def _check_weights(program: Program) -> None:
    """Raise QuantError unless all weights of a call are arrays."""
    shapes = [
        leaf
        for leaf, is_weight in zip(program.leaves, program.is_weight, strict=True)
        if is_weight and isinstance(leaf, jax.ShapeDtypeStruct)
    ]
    if shapes:
        raise QuantError(
            "weights must be arrays to be exported; "
            f"{len(shapes)} are shapes such as {shapes[0]}."
        )


def _check_results(program: Program) -> None:
    """Raise QuantError unless a program can return what the call does."""
    results = jax.tree.leaves(program.restored(program.closed.jaxpr.outvars))
    kinds = core.Var | core.Literal | complex | float | int
    for one in results:
        if not (isinstance(one, kinds) or is_array(one)):
            raise QuantError(
                "results of `f` must be arrays or numbers to be exported; got "
                f"{type(one).__name__}."
            )
