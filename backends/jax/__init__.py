"""JAX: 64-bit integers where qcore counts, loops that are not unrolled, pytrees."""

from importlib import import_module

from qcore.backends.found import is_found
from qcore.backends.jax import entropy, library, recovery, tally

__all__ = ["entropy", "library", "recovery", "tally"]

if is_found("cupy"):  # whose kernels serve arrays on a CUDA device
    import_module(f"{__name__}.cuda")
if is_found("numba"):
    import_module(f"{__name__}.numba")
