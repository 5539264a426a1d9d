"""Which kernels compiled functions serve, registered for a library.

numba takes a third of a second to import, so the functions' modules are imported when
first called.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from qcore.affine import fake_quantize_data, quantize_data
from qcore.gradient import fake_quantize_gradient
from qcore.kernels import Kernel, declined
from qcore.methods.balance import is_balanced
from qcore.methods.divergence import divergence, merged_information
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
from qcore.methods.solve import solve
from qcore.methods.step_search import search_affine, search_symmetric
from qcore.statistics.tally import regrid, tally

Function = Callable[..., Any]

SERVED: tuple[tuple[str, tuple[Kernel, ...]], ...] = (
    ("counting", (tally,)),
    ("regridding", (regrid,)),
    ("rounding", (quantize_data, fake_quantize_data)),
    ("gradient", (fake_quantize_gradient,)),
    ("squared_error", (search_symmetric, search_affine)),
    ("range_error", (search_ranges, best_split)),
    ("entropy", (divergence, merged_information)),
    ("balance", (is_balanced,)),
    ("solve", (solve,)),
)
"""By the module that has functions of their names."""


def register(library: str, lent: Callable[[Function, str], Function]) -> None:
    """Register all functions, each as `lent` adapts one of a name to the library."""
    for module, kernels in SERVED:
        for kernel in kernels:
            name = kernel.__name__
            native = lent(_deferred(module, name), name)
            native.__module__ = f"qcore.backends.numba.{module}"  # known by its source
            kernel.accelerate(library)(native)


def _declining(reason: str) -> Function:
    answer = declined(reason)
    return lambda *_, **__: answer


def _deferred(module: str, name: str) -> Function:
    """Return a function that is imported when it is called."""

    @cache
    def imported() -> Function:
        try:
            if import_module("numba").config.DISABLE_JIT:
                return _declining("NUMBA_DISABLE_JIT is set")
            found = import_module(f"qcore.backends.numba.{module}")
        # Such as for a NumPy that numba does not know, or without the library of LLVM.
        except Exception as error:
            return _declining(f"numba cannot be imported: {error}")
        function: Function = getattr(found, name)
        return function

    def deferred(*arguments: Any, **options: Any) -> Any:
        return imported()(*arguments, **options)

    return deferred
