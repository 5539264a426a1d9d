"""Rounding one row after the other, each where the errors so far have moved it."""

from qcore.affine import to_grid
from qcore.formats import Format
from qcore.kernels import Kernel
from qcore.typing import Array, Namespace


@Kernel
def round_in_turn(  # noqa: PLR0917 - a kernel's arguments have no names
    rows: Array,
    feedback: Array,
    scale: Array,
    zero_point: Array,
    fmt: Format,
    limits: tuple[Array, Array] | None,
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return rows rounded one after the other, errors carried on to later ones.

    Parameters
    ----------
    rows : array
        float64 ``[G, n, outputs]``.
    feedback : array
        float64 ``[G, n, n]``: in column i, how the error of each row before moves what
        is best for row i.
    scale, zero_point : array
        float64 and int32, of the shape of `rows`.
    limits : tuple of array or None
        The lowest and the highest that each may become: numbers of the format, float64
        of the shape of `rows`.
    """
    return _in_turn(rows, rows, feedback, (scale, zero_point), fmt, limits, xp=xp)


def within(x: Array, limits: tuple[Array, Array] | None, /, *, xp: Namespace) -> Array:
    """Return numbers, or the limit they exceed."""
    if limits is None:
        return x
    return xp.minimum(xp.maximum(x, limits[0]), limits[1])


def _in_turn(  # noqa: PLR0917 - as above
    rows: Array,
    targets: Array,
    feedback: Array,
    grid: tuple[Array, Array],
    fmt: Format,
    limits: tuple[Array, Array] | None,
    *,
    xp: Namespace,
) -> Array:
    """Return the targets rounded in turn, by halves.

    The errors of the first half move the targets of the second in one product of
    matrices, so that nearly all arithmetic is done in large ones.
    """
    n = rows.shape[1]
    if n < 2:
        return within(to_grid(targets, *grid, fmt, xp=xp), limits, xp=xp)
    head, tail = slice(None, n // 2), slice(n // 2, None)

    def part(where: slice, targets: Array) -> Array:
        inner = feedback[:, where, where]

        def cut(pair: tuple[Array, Array]) -> tuple[Array, Array]:
            return pair[0][:, where, :], pair[1][:, where, :]

        bounds = None if limits is None else cut(limits)
        return _in_turn(
            rows[:, where, :], targets, inner, cut(grid), fmt, bounds, xp=xp
        )

    first = part(head, targets[:, head, :])
    error = rows[:, head, :] - first
    moved = xp.matmul(xp.matrix_transpose(feedback[:, head, tail]), error)
    return xp.concat([first, part(tail, targets[:, tail, :] + moved)], axis=1)
