"""PyTorch: its own operators, and the kernels of what is installed beside it."""

from importlib import import_module

from qcore.backends.found import is_found
from qcore.backends.torch import library

__all__ = ["library"]

# In the order in which they register, so that the last is asked first.
for compiler, module in (
    ("numba", "numba"),
    ("triton", "triton"),
    ("triton", "search"),
    ("cuda.bindings", "cuda"),
):
    if is_found(compiler):
        import_module(f"{__name__}.{module}")
