"""A call of a function as a program, and which of its inputs are weights."""

import inspect
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from qcore.adapters.jax.calls import Closed, State
from qcore.adapters.jax.interpreter import Index, Interpreter, Visitor
from qcore.adapters.jax.kinds import bodies_of, hidden_in
from qcore.errors import QuantError

MARK = "qcore."
"""Begins the named scope of what a transform has made."""


class FirstOfSeveral:
    """The first of the arguments that hold arrays, if there are several."""

    def __repr__(self) -> str:
        return "FIRST_OF_SEVERAL"


FIRST_OF_SEVERAL = FirstOfSeveral()


@dataclass(frozen=True)
class Program:
    """A traced call.

    Attributes
    ----------
    closed
        What `jax.make_jaxpr` made.
    leaves : list of array
        The arrays of the arguments, or their shapes.
    is_weight : list of bool
        Which of them are weights.
    restored : callable
        From the outputs of the program to the result of the call.
    """

    closed: core.ClosedJaxpr
    leaves: list[Any]
    is_weight: list[bool]
    restored: Callable[[Sequence[Any]], Any]

    def run(
        self, transform: str, indices: frozenset[Index], visitor: Visitor, state: State
    ) -> tuple[Any, State]:
        """Return the result of the call, and the state after it."""
        # Constants and arguments of NumPy are kept as they are.
        program = Closed(self.closed.jaxpr, list(map(jnp.asarray, self.closed.consts)))
        inputs = list(map(jnp.asarray, self.leaves))
        with jax.named_scope(MARK + transform):
            outputs, state = Interpreter(indices, visitor).run(program, inputs, state)
        return self.restored(outputs), state


def traced(
    f: Callable[..., Any], weights: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Program:
    """
    Return a call as a program.

    Parameters
    ----------
    f : callable
        Of any arguments. What holds no array, such as a number of Python, a string or
        a function, is static: `f` is given it as it is. So it is with results.
    weights : int, str, sequence of these, None or FIRST_OF_SEVERAL
        Positions and names of the arguments that are weights.
    args, kwargs
        The arguments; arrays may be shapes (`jax.ShapeDtypeStruct`).

    Raises
    ------
    ValueError
        If an argument that shall be weights is not given.
    QuantError
        If `f` is, or holds, what a transform has made.
    """
    leaves, tree = jax.tree.flatten((args, kwargs))
    places = [number for number, leaf in enumerate(leaves) if is_array(leaf)]
    kept: list[Any] = []

    def flat(*arrays: Any) -> list[Any]:
        given = list(leaves)
        for number, x in zip(places, arrays, strict=True):
            given[number] = x
        inner_args, inner_kwargs = jax.tree.unflatten(tree, given)
        results, result_tree = jax.tree.flatten(f(*inner_args, **inner_kwargs))
        static = [None if isinstance(x, jax.Array) else (x,) for x in results]
        kept[:] = [static, result_tree]
        return [x for x in results if isinstance(x, jax.Array)]

    arrays = [leaves[number] for number in places]
    closed = jax.make_jaxpr(flat)(*arrays)
    static, result_tree = kept

    def restored(outputs: Sequence[Any]) -> Any:
        found = iter(outputs)
        results = [next(found) if held is None else held[0] for held in static]
        return jax.tree.unflatten(result_tree, results)

    _check_first(closed.jaxpr)
    mask = _weight_mask(f, weights, args, kwargs)
    return Program(closed, arrays, mask, restored)


def check_weights(given: Any, /) -> None:
    """Raise TypeError unless something says which arguments are weights."""
    if given is None or given is FIRST_OF_SEVERAL:
        return
    several = isinstance(given, Sequence | Set) and not isinstance(given, str)
    for one in given if several else (given,):
        if isinstance(one, bool) or not isinstance(one, int | str):
            raise TypeError(
                "`weights` must be positions or names of arguments; got "
                f"{one!r} in {given!r}."
                if several
                else f"`weights` must be positions or names of arguments; got {one!r}."
            )


def is_array(x: Any, /) -> bool:
    """Return whether JAX can trace a leaf of arguments: an array, or its shape."""
    dtype = getattr(x, "dtype", None)
    if dtype is None or not hasattr(x, "shape"):
        return False
    kinds = (jnp.number, jnp.bool_, jax.dtypes.extended)
    return any(jnp.issubdtype(dtype, kind) for kind in kinds)


def _weight_mask(
    f: Callable[..., Any], weights: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> list[bool]:
    """Return, for each array of the arguments, whether it is one of weights."""
    # Leaves of names come in the order of names.
    arguments = dict(enumerate(args)) | dict(sorted(kwargs.items()))
    arrays = {
        key: sum(map(is_array, jax.tree.leaves(x))) for key, x in arguments.items()
    }
    if weights is FIRST_OF_SEVERAL:
        holding = [key for key, count in arrays.items() if count]
        chosen = set(holding[: len(holding) > 1])
    else:
        named = (weights,) if isinstance(weights, int | str) else weights or ()
        chosen = {_place(f, one, args, kwargs) for one in named}
    return [key in chosen for key, count in arrays.items() for _ in range(count)]


def _place(
    f: Callable[..., Any],
    wanted: int | str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> int | str:
    """Return the position of an argument, or its name if it is given by that."""
    if wanted in kwargs:
        return wanted
    if isinstance(wanted, str):
        try:
            position = list(inspect.signature(f).parameters).index(wanted)
        except ValueError:
            position = len(args)
    else:
        position = wanted
    if not -len(args) <= position < len(args):
        raise ValueError(
            f"`weights` must name arguments; {wanted!r} is none of the {len(args)} "
            f"that are given by position, nor of {sorted(kwargs)}."
        )
    return position % len(args)


def _check_first(jaxpr: core.Jaxpr) -> None:
    for scope in _scopes(jaxpr):
        for name in ("fake_quant", "collect"):
            if MARK + name in scope:
                raise QuantError(
                    f"`f` must not be transformed already; it holds what {name} has "
                    "made. Transform the function that this was given."
                )


def _scopes(jaxpr: core.Jaxpr) -> Iterator[str]:
    """Yield the named scopes of a program and of those in it."""
    for equation in jaxpr.eqns:
        yield str(equation.source_info.name_stack)
        for body in (
            *(held.jaxpr for held in bodies_of(equation)),
            *hidden_in(equation),
        ):
            yield from _scopes(body)
