"""Whether other parameters let a function compute the same."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qcore.adapters.jax.program import Program, is_array
from qcore.adapters.jax.recovery.flat import Flat
from qcore.adapters.jax.recovery.inputs import as_float
from qcore.adapters.jax.recovery.together import run_alone
from qcore.errors import QuantError


def check_same(program: Program, flat: Flat, params: Any, /) -> None:
    """Raise QuantError unless a call gives with other parameters what it gave."""
    new = iter([leaf for leaf in jax.tree.leaves(params) if is_array(leaf)])
    changed = [
        next(new) if held else leaf
        for leaf, held in zip(program.leaves, program.is_weight, strict=True)
    ]
    before, after = (run_alone(flat, leaves) for leaves in (program.leaves, changed))
    pairs = zip(before, after, strict=True)
    # Half of the digits: what rounding in another place may cost a deep network.
    if not all(_difference(x, y) <= 1 for x, y in pairs):
        raise QuantError(
            "`f` must compute the same as before, but loses half of its digits. Makers "
            "must be all that scales the input of their readers, and readers all that "
            "reads it."
        )


def _difference(x: Any, y: Any) -> float:
    """Return how far two outputs are apart, 1 being half of their digits."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return 0.0
    wide, other = as_float(x), as_float(y)
    is_number = np.isfinite(wide)
    lost = float(np.abs(wide - other)[is_number].max(initial=0.0))
    largest = float(np.abs(wide)[is_number].max(initial=1e-30))
    half: float = float(jnp.finfo(x.dtype).eps) ** 0.5
    return lost / largest / half
