"""CuPy: CUDA C for counting and rounding, and how its arrays get to the host."""

from qcore.backends.cupy import cuda, library

__all__ = ["cuda", "library"]
