"""What is known while a function is compiled is computed, and is no part of it."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax


def computed_now(*given: Any) -> AbstractContextManager[Any]:
    """Return the context in which to compute what is made of pytrees of arrays.

    Where all are known, so is the result; where some are traced, it is traced.
    """
    leaves = jax.tree.leaves(given)
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        return nullcontext()
    return jax.ensure_compile_time_eval()
