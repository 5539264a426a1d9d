"""CuPy: CUDA C for all of the kernels, and how its arrays get to the host."""

from qcore.backends.cupy import cuda, library, solve

__all__ = ["cuda", "library", "solve"]
