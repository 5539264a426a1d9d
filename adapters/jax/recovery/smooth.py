"""Outliers of activations moved into weights, by the names of parameters.

"SmoothQuant: Accurate and Efficient Post-Training Quantization for Large Language
Models" (arXiv:2211.10438). What makes the input of products is divided by a number for
each channel, and their weights are multiplied by it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from qcore import Moments, PerChannel, QuantSpec
from qcore.adapters.jax.arguments import check_function
from qcore.adapters.jax.parameters import leaf_name
from qcore.adapters.jax.program import (
    FIRST_OF_SEVERAL,
    Program,
    check_weights,
    is_array,
)
from qcore.adapters.jax.recovery.flat import Flat, Step
from qcore.adapters.jax.recovery.inputs import as_float
from qcore.adapters.jax.recovery.kernels import Kernel, find_kernels
from qcore.adapters.jax.recovery.named_pairs import Pair, read_pairs
from qcore.adapters.jax.recovery.same import check_same
from qcore.adapters.jax.recovery.together import run_alone
from qcore.adapters.jax.recovery.traced_calls import (
    flat_programs,
    place_of_weights,
    traced_calls,
    with_leaves,
)
from qcore.errors import QuantError
from qcore.recovery import smooth_quant
from qcore.recovery.smooth_quant import USUAL_ALPHA


def smooth(
    f: Callable[..., Any],
    pairs: Sequence[tuple[Any, Any]],
    /,
    *,
    weights: Any = FIRST_OF_SEVERAL,
    alpha: float | None = USUAL_ALPHA,
    input_spec: QuantSpec | None = None,
    weight_spec: QuantSpec | None = None,
) -> Callable[[Any, Iterable[Any]], Any]:
    """
    Return a function from parameters to such as activations have no outliers with.

    Parameters
    ----------
    f : callable
        As of `fake_quant`; one argument alone holds the weights.
    pairs : sequence of (makers, readers)
        Names of leaves, or sequences of such. Makers are all that scales the input of
        the readers: ``["norm/scale", "norm/bias"]``, or kernel and bias of a dense
        layer, with nothing behind it but what passes factors on, such as a ReLU.
        Readers are the kernels of all dense products of that input: ``["q/kernel",
        "k/kernel", "v/kernel"]``.
    weights : int, str or sequence of one of these, optional
        As of `sites`.
    alpha, input_spec, weight_spec : optional
        As of `qcore.recovery.smooth_quant`: how much of the outliers the weights take;
        None searches for what is best for such codes, by default of 8 bits.

    Returns
    -------
    callable
        Takes the argument of `f` that holds the weights, and an iterable over calls:
        for each a tuple of the other arguments, by position, or the only other one. It
        gives parameters of the same structure, with which `f` computes the same.

    Raises
    ------
    TypeError, ValueError
        If `f` is no function, or pairs are no pairs of names; by the function, if a
        name is that of no leaf.
    QuantError
        By the function, if a reader is no weight of a dense product, or used otherwise,
        too; if readers of one pair read different inputs; if a maker does not fit them;
        or if `f` would compute something else, since makers are used otherwise, too, or
        are not all.
    NoDataError
        If there is no call.
    """
    check_function(f)
    check_weights(weights)
    where = place_of_weights(f, weights)
    read = read_pairs(pairs)

    def smoothed(params: Any, data: Iterable[Any], /) -> Any:
        programs = traced_calls(f, where, params, data)
        flats = flat_programs(programs)
        numbers = _numbers(params, programs[0])
        chosen = [pair.numbered(numbers) for pair in read]
        kernels = find_kernels(programs[0], flats[0])
        readers = [_readers(pair, chosen[n][1], kernels) for n, pair in enumerate(read)]
        inputs = [one[0] for one in readers]
        seen = _seen(programs, flats, inputs)
        leaves = {
            number: np.array(as_float(programs[0].leaves[number]), order="C")
            for both in chosen
            for number in (*both[0], *both[1])
        }
        for pair, (makers, _), own in zip(read, chosen, readers, strict=True):
            index = own[0].step.index
            scale = smooth_quant(
                seen[index],
                [kernel.rows(leaves[kernel.place.leaf]) for kernel in own],
                alpha=alpha,
                input_spec=input_spec,
                weight_spec=weight_spec,
                xp=np,
            ).scale
            for kernel in own:
                leaf = leaves[kernel.place.leaf]
                kernel.put(leaf, kernel.rows(leaf) * scale)
            for name, number in zip(pair.makers, makers, strict=True):
                _divide(name, leaves[number], scale, kernels.get(number, []))
        found = with_leaves(params, programs[0], _in_their_dtypes(programs[0], leaves))
        check_same(programs[0], flats[0], found)
        return found

    return smoothed


def _numbers(params: Any, program: Program) -> dict[str, int]:
    """Return the numbers of the leaves of the parameters, by name."""
    numbers = (n for n, held in enumerate(program.is_weight) if held)
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    arrays = [leaf_name(path) for path, leaf in paths if is_array(leaf)]
    return dict(zip(arrays, numbers, strict=True))


def _readers(
    pair: Pair, numbers: Sequence[int], kernels: Mapping[int, list[Kernel]]
) -> list[Kernel]:
    """Return the products of the readers; QuantError unless they have one input."""
    found: list[Kernel] = []
    for name, number in zip(pair.readers, numbers, strict=True):
        own = [kernel for kernel in kernels.get(number, []) if kernel.is_dense]
        if not own:
            raise QuantError(
                f"{name} must be the weight of a dense product outside of loops, and "
                "used for nothing else."
            )
        found.extend(own)
    inputs = {_input(kernel) for kernel in found}
    if len(inputs) > 1:
        raise QuantError(
            f"{', '.join(pair.readers)} must have one input; they read "
            f"{len(inputs)} different ones."
        )
    return found


def _input(kernel: Kernel) -> Any:
    return kernel.step.inputs[1 - kernel.place.operand]


def _seen(
    programs: Sequence[Program], flats: Sequence[Flat], kernels: Sequence[Kernel]
) -> dict[Any, Moments]:
    """Return what the products see, by their index; a call is run at a time."""
    watched = {kernel.step.index: kernel for kernel in kernels}
    found: dict[Any, Moments] = {}

    def add(step: Step, inputs: list[Any], _: list[Any]) -> None:
        if (kernel := watched.get(step.index)) is not None:
            rows = kernel.layout.data(as_float(inputs[1 - kernel.place.operand]))
            found[step.index] = (
                found[step.index].update(rows)
                if step.index in found
                else Moments.of(rows, order=2, granularity=PerChannel(-1))
            )

    for program, flat in zip(programs, flats, strict=True):
        run_alone(flat, program.leaves, add)
    return found


def _divide(
    name: str, leaf: np.ndarray, scale: np.ndarray, kernels: Sequence[Kernel]
) -> None:
    """Divide what makes an input."""
    if leaf.size == scale.size:
        leaf /= scale.reshape(leaf.shape)
        return
    rows = [kernel.rows(leaf) for kernel in kernels]
    if len(rows) != 1 or len(rows[0]) != scale.size:
        raise QuantError(
            f"{name} must have {scale.size} elements, or be the weight of a product of "
            f"so many outputs; got the shape {leaf.shape}."
        )
    kernels[0].put(leaf, rows[0] / scale.reshape(-1, *(1,) * (rows[0].ndim - 1)))


def _in_their_dtypes(
    program: Program, leaves: Mapping[int, np.ndarray]
) -> dict[int, np.ndarray]:
    return {
        number: leaf.astype(program.leaves[number].dtype)
        for number, leaf in leaves.items()
    }
