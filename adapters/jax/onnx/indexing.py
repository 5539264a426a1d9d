"""Elements at places that are computed."""

from typing import Any

import numpy as np

from qcore.adapters.jax.onnx.builder import Builder, Operand, is_known
from qcore.adapters.jax.onnx.layout import reshape, transpose
from qcore.adapters.jax.onnx.lowering import UnsupportedError, lowers, output_of

_FILL = "FILL_OR_DROP"
_TRUSTING = "PROMISE_IN_BOUNDS"


@lowers("dynamic_slice")
def _dynamic_slice(
    builder: Builder, equation: Any, x: Operand, *starts: Operand
) -> Operand:
    shape = equation.invars[0].aval.shape
    sizes = np.asarray(equation.params["slice_sizes"], np.int64)
    first = _starts(builder, starts, np.asarray(shape, np.int64) - sizes)
    last = builder.op("Add", first, sizes)
    return builder.op("Slice", x, first, last, np.arange(len(shape)))


@lowers("dynamic_update_slice")
def _dynamic_update_slice(
    builder: Builder, equation: Any, x: Operand, update: Operand, *starts: Operand
) -> Operand:
    shape, sizes = (
        np.asarray(atom.aval.shape, np.int64) for atom in equation.invars[:2]
    )
    first = _starts(builder, starts, shape - sizes)

    def written(x: Operand, axes: list[int]) -> Operand:
        """Return an operand with the update at its place along axes."""
        if not axes:
            return update
        axis, *others = axes
        place = np.asarray([axis])
        start = builder.op("Gather", first, place)
        end = builder.op("Add", start, sizes[place])
        ends = np.zeros(1, np.int64), np.asarray([np.iinfo(np.int64).max])
        inside = builder.op("Slice", x, start, end, place) if others else x
        parts = [
            builder.op("Slice", x, ends[0], start, place),
            written(inside, others),
            builder.op("Slice", x, end, ends[1], place),
        ]
        return builder.op("Concat", *parts, axis=axis)

    return written(x, list(map(int, np.flatnonzero(shape != sizes))))


def _starts(builder: Builder, starts: tuple[Operand, ...], limits: np.ndarray) -> Any:
    """Return where a slice begins, moved inside as JAX does."""
    rows = [reshape(builder, builder.cast(start, np.int64), (1,)) for start in starts]
    return _clipped(builder, builder.op("Concat", *rows, axis=0), limits)


@lowers("gather")
def _gather(builder: Builder, equation: Any, x: Operand, indices: Operand) -> Operand:
    params = equation.params
    numbers = params["dimension_numbers"]
    shape = tuple(equation.invars[0].aval.shape)
    sizes = tuple(map(int, params["slice_sizes"]))
    of_indices = tuple(equation.invars[1].aval.shape)
    looked_up = (*numbers.operand_batching_dims, *numbers.start_index_map)
    for axis, n in enumerate(shape):
        if sizes[axis] not in ((1,) if axis in looked_up else (n,)):
            raise UnsupportedError(
                f"takes slices of {sizes} from {shape}, neither elements nor whole axes"
            )
    mode = params["mode"].name
    limits = np.asarray([shape[axis] - 1 for axis in numbers.start_index_map], np.int64)
    indices = _as_int64(builder, indices)
    inside = None
    if mode != _TRUSTING and not _fits(indices, limits):
        if mode == _FILL:
            inside = _inside(builder, indices, limits)
        indices = _clipped(builder, indices, limits)
    found = _taken(builder, numbers, x, indices, (shape, of_indices))
    # Now the axes of the indices, then those of the operand that were kept whole, to
    # which those of length 1 come back that were looked up but not dropped.
    batch = of_indices[:-1]
    dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    kept = tuple(sizes[axis] for axis in range(len(shape)) if axis not in dropped)
    found = reshape(builder, found, (*batch, *kept))
    result = tuple(output_of(equation).shape)
    offsets = tuple(numbers.offset_dims)
    others = tuple(axis for axis in range(len(result)) if axis not in offsets)
    order = (*others, *offsets)
    back = sorted(range(len(order)), key=lambda place: order[place])
    if inside is not None:
        mask = reshape(builder, inside, (*batch, *(1 for _ in kept)))
        fill = _fill(params["fill_value"], output_of(equation).dtype)
        found = builder.op("Where", mask, found, fill)
    return transpose(builder, found, tuple(back))


def _taken(
    builder: Builder,
    numbers: Any,
    x: Operand,
    indices: Operand,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> Any:
    """Return elements, first the axes of the indices, then the others in order."""
    shape, of_indices = shapes
    batch = of_indices[:-1]
    batched = tuple(numbers.operand_batching_dims)
    looked_up = tuple(numbers.start_index_map)
    rest = [a for a in range(len(shape)) if a not in batched and a not in looked_up]
    if len(looked_up) == 1 and not batched:
        x = transpose(builder, x, (*looked_up, *rest))
        found = builder.op("Gather", x, reshape(builder, indices, batch), axis=0)
        return builder.shaped(found, (*batch, *(shape[axis] for axis in rest)))
    x = transpose(builder, x, (*batched, *looked_up, *rest))
    if batched:
        indices = _with_batches(builder, numbers, indices, shape, of_indices)
    found = builder.op("GatherND", x, indices)
    return builder.shaped(found, (*batch, *(shape[axis] for axis in rest)))


def _with_batches(
    builder: Builder,
    numbers: Any,
    indices: Operand,
    shape: tuple[int, ...],
    of_indices: tuple[int, ...],
) -> Operand:
    """Return indices that also say where they are along axes they share with data."""
    columns = []
    pairs = zip(
        numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True
    )
    for of_data, of_index in pairs:
        thin = [1] * len(of_indices)
        thin[of_index] = shape[of_data]
        column = np.arange(shape[of_data], dtype=np.int64).reshape(thin)
        columns.append(np.broadcast_to(column, (*of_indices[:-1], 1)))
    return builder.op("Concat", *columns, indices, axis=-1)


def _as_int64(builder: Builder, indices: Operand) -> Operand:
    if is_known(indices):
        return np.asarray(indices).astype(np.int64)
    return builder.cast(indices, np.int64)


def _fits(indices: Operand, limits: np.ndarray) -> bool:
    """Return whether indices are known to lie inside."""
    if not is_known(indices):
        return False
    return bool(((indices >= 0) & (indices <= limits)).all())


def _clipped(builder: Builder, indices: Operand, limits: np.ndarray) -> Any:
    if is_known(indices):
        return np.clip(indices, 0, limits)
    raised = builder.op("Max", indices, np.zeros_like(limits))
    return builder.op("Min", raised, limits)


def _inside(builder: Builder, indices: Operand, limits: np.ndarray) -> Any:
    """Return where all of an element's indices lie inside."""
    low = builder.op("GreaterOrEqual", indices, np.zeros_like(limits))
    high = builder.op("LessOrEqual", indices, limits)
    both = builder.cast(builder.op("And", low, high), np.int32)
    axes = np.asarray([-1], np.int64)
    return builder.cast(builder.op("ReduceMin", both, axes, keepdims=0), np.bool_)


def _fill(given: Any, dtype: Any) -> np.ndarray:
    """Return what JAX fills with: NaN, or the lowest or largest integer."""
    dtype = np.dtype(dtype)
    if given is None:
        if dtype == np.bool_:
            given = True
        elif np.issubdtype(dtype, np.signedinteger):
            given = np.iinfo(dtype).min
        elif np.issubdtype(dtype, np.unsignedinteger):
            given = np.iinfo(dtype).max
        else:
            given = np.nan
    return np.asarray(given, dtype)
