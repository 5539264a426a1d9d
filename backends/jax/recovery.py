"""Rounding in turn as a loop that is not unrolled, compiled once for each shape."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from qcore.affine import to_grid
from qcore.formats import Format
from qcore.recovery.in_turn import round_in_turn, within


@round_in_turn.accelerate("jax.numpy", traceable=True)
@partial(jax.jit, static_argnums=4)
def _(  # noqa: PLR0917 - a kernel's arguments have no names
    rows: jax.Array,
    feedback: jax.Array,
    scale: jax.Array,
    zero_point: jax.Array,
    fmt: Format,
    limits: tuple[jax.Array, jax.Array] | None,
    /,
) -> Any:
    def step(errors: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        row, factors = rows[:, i], feedback[:, :, i]
        target = row + jnp.einsum("gk,gko->go", factors, errors)
        rounded = to_grid(target, scale[:, i], zero_point[:, i], fmt, xp=jnp)
        bounds = None if limits is None else (limits[0][:, i], limits[1][:, i])
        rounded = within(rounded, bounds, xp=jnp)
        return errors.at[:, i].set(row - rounded), None

    places = jnp.arange(rows.shape[1])
    errors, _ = jax.lax.scan(step, jnp.zeros_like(rows), places)
    return rows - errors
