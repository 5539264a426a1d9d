"""JAX: 64-bit integers where qcore counts, loops that are not unrolled, pytrees."""

from qcore.backends.jax import entropy, library

__all__ = ["entropy", "library"]
