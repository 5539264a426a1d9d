"""The calls that parameters are judged by, as programs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, signature
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qcore.adapters.jax.program import FIRST_OF_SEVERAL, Program, is_array, traced
from qcore.adapters.jax.recovery.flat import Flat, flatten
from qcore.adapters.jax.recovery.together import check_alike
from qcore.errors import NoDataError, QuantError


def place_of_weights(f: Callable[..., Any], given: Any, /) -> int | str:
    """Return where the argument is that holds the weights, or its name.

    Raises
    ------
    QuantError
        If there are several, or none.
    """
    if given is FIRST_OF_SEVERAL:
        return 0
    held = [given] if isinstance(given, int | str) else list(given or ())
    if len(held) != 1:
        raise QuantError(
            f"`weights` must name the one argument that holds all; got {given!r}."
        )
    place: int | str = held[0]
    if isinstance(place, str):
        parameters = signature(f).parameters
        one = parameters.get(place)
        if one is not None and one.kind is not Parameter.KEYWORD_ONLY:
            return list(parameters).index(place)
    return place


def traced_calls(
    f: Callable[..., Any], where: int | str, params: Any, data: Iterable[Any], /
) -> list[Program]:
    """
    Return the program of each call.

    Parameters
    ----------
    f : callable
        Of any arguments.
    where : int or str
        Where the weights are among them.
    params : pytree
        The weights.
    data : iterable
        For each call a tuple of the other arguments, or the only other one.

    Raises
    ------
    NoDataError
        If there is no call.
    QuantError
        If values are not known.
    """
    calls = [x if isinstance(x, tuple) else (x,) for x in data]
    if not calls:
        raise NoDataError("`data` must hold the arguments of at least one call.")
    found = []
    for others in calls:
        if isinstance(where, str):
            found.append(traced(f, where, others, {where: params}))
            continue
        place = where if where >= 0 else len(others) + 1 + where
        args = (*others[:place], params, *others[place:])
        found.append(traced(f, place, args, {}))
    if not all(map(_is_known, (leaf for one in found for leaf in one.leaves))):
        raise QuantError(
            "parameters and data must be arrays whose values are known; got shapes, or "
            "what a transform of JAX around this has traced."
        )
    return found


def _is_known(leaf: Any) -> bool:
    return not isinstance(leaf, jax.core.Tracer | jax.ShapeDtypeStruct)


def flat_programs(programs: Sequence[Program], /) -> list[Flat]:
    """Return them flattened; QuantError if they differ in more than shapes."""
    flats = [flatten(program.closed) for program in programs]
    check_alike(flats)
    return flats


def with_leaves(params: Any, program: Program, new: Mapping[int, np.ndarray], /) -> Any:
    """Return parameters with other leaves, where they were."""
    numbers = iter(n for n, held in enumerate(program.is_weight) if held)
    leaves, tree = jax.tree.flatten(params)
    found = []
    for leaf in leaves:
        number = next(numbers) if is_array(leaf) else None
        values = None if number is None else new.get(number)
        found.append(leaf if values is None else _like(leaf, values))
    return jax.tree.unflatten(tree, found)


def _like(leaf: Any, values: np.ndarray) -> Any:
    """Return values as a leaf of the kind and on the devices of another."""
    if isinstance(leaf, np.ndarray):
        return values
    return jax.device_put(jnp.asarray(values), leaf.sharding)
