"""JAX: the groups of all windows of the entropy search from one table."""

from typing import Any

import jax
import jax.numpy as jnp

from qcore.methods.candidates import sum_terms
from qcore.methods.divergence import (
    group_information,
    merged_information,
    rounded_up,
    running_sums,
)
from qcore.methods.ends import gather

NAME = "jax.numpy"
WIDEST = 128
"""Slots of the widest group: each width is a program of its own to compile."""


@merged_information.accelerate(NAME, traceable=True)
def _(
    line: jax.Array,
    first: jax.Array,
    last: jax.Array,
    _: jax.Array,
    cells: tuple[float, ...],
    /,
) -> Any:
    """Look up every group of the equal-width case in a table, by width and first slot.

    XLA makes vector instructions of a logarithm only where nothing is looked up beside
    it, and the table has fewer logarithms than the windows have groups.
    """
    groups = len(cells) - 1
    (channels, slots), windows = line.shape, first.shape[1]
    widest = slots // groups + 1
    is_even = cells == tuple(k / groups for k in range(groups + 1))
    if not is_even or widest > WIDEST or widest * slots > windows * groups:
        return NotImplemented
    sums = running_sums(line, xp=jnp)
    count, filled = (
        jnp.pad(x, ((0, 0), (0, widest)), mode="edge")
        for x in (sums.count, sums.filled)
    )

    rows = [
        group_information(
            *(
                x[:, width : width + slots + 1] - x[:, : slots + 1]
                for x in (count, filled)
            ),
            xp=jnp,
        )
        for width in range(widest + 1)
    ]
    table = jnp.concatenate(rows, axis=1)
    widths = jnp.astype(last - first, jnp.float64)[:, :, None]
    start = jnp.astype(first, jnp.float64)[:, :, None]

    def information(below: jax.Array, above: jax.Array) -> jax.Array:
        low, high = (
            start + rounded_up(widths * cell, xp=jnp) for cell in (below, above)
        )
        place = (high - low) * (slots + 1) + low
        # Through 32 bits, for which there are vector instructions.
        place = jnp.astype(jnp.astype(place, jnp.int32), jnp.int64)
        found: jax.Array = gather(table, place, xp=jnp)
        return found

    like = jnp.zeros((channels, windows))
    edges = jnp.asarray(cells)
    # Without groups the width is 0, of which the table has zeros.
    return sum_terms(information, (edges[:-1], edges[1:]), like, xp=jnp)
