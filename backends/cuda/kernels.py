"""Which kernels of the searches CUDA C serves, registered for a library."""

from collections.abc import Callable
from typing import Any

from qcore.backends.cuda import entropy, errors, search
from qcore.kernels import Kernel
from qcore.methods.balance import is_balanced
from qcore.methods.divergence import divergence, merged_information
from qcore.methods.mse import best_split
from qcore.methods.range_search import search_ranges
from qcore.methods.step_search import search_affine, search_symmetric

Function = Callable[..., Any]

SERVED: tuple[tuple[Kernel, Function], ...] = (
    (search_symmetric, search.search_symmetric),
    (search_affine, search.search_affine),
    (search_ranges, errors.search_ranges),
    (best_split, errors.best_split),
    (is_balanced, errors.is_balanced),
    (merged_information, entropy.merged_information),
    (divergence, entropy.divergence),
)
"""Kernels and the functions that launch for them."""


def register(library: str, on_device: Function) -> None:
    """Register all, called by a function that finds the device of the arrays.

    Parameters
    ----------
    library : str
        Name of the library whose arrays are served.
    on_device : callable
        From a function of launches and its arguments, the device apart, to its result.
    """
    for kernel, launcher in SERVED:
        served = native(launcher, on_device, source=launcher.__module__)
        kernel.accelerate(library)(served)


def native(launcher: Function, on_device: Function, source: str) -> Function:
    """Return what serves a kernel by a function of launches.

    Parameters
    ----------
    launcher : callable
        The function of launches.
    on_device : callable
        As of `register`.
    source : str
        Module that it is known by.
    """

    def served(*given: Any, **named: Any) -> Any:
        return on_device(launcher, *given, **named)

    served.__module__ = source
    return served
