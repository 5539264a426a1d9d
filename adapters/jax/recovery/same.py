"""Whether other parameters let a function compute the same."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qcore.adapters.jax.program import Program, is_array
from qcore.adapters.jax.recovery.flat import Flat
from qcore.adapters.jax.recovery.inputs import as_float
from qcore.adapters.jax.recovery.together import run_alone
from qcore.recovery.same_function import check_none_lost, digits_lost


def check_same(program: Program, flat: Flat, params: Any, /) -> None:
    """Raise QuantError unless a call gives with other parameters what it gave."""
    new = iter([leaf for leaf in jax.tree.leaves(params) if is_array(leaf)])
    changed = [
        next(new) if held else leaf
        for leaf, held in zip(program.leaves, program.is_weight, strict=True)
    ]
    before, after = (run_alone(flat, leaves) for leaves in (program.leaves, changed))
    check_none_lost("f", map(_lost, before, after))


def _lost(x: Any, y: Any) -> float:
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return 0.0
    epsilon = float(jnp.finfo(x.dtype).eps)
    return float(digits_lost(as_float(x), as_float(y), epsilon, xp=np))
