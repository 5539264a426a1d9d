"""The seam where a backend may replace a portable function by a faster one."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

from qcore.libraries import is_concrete, library_name
from qcore.typing import Array, Namespace

Function = Callable[..., Any]


def _is_portable_forced() -> bool:
    """Return whether ``QCORE_BACKEND=reference`` asks for the portable functions."""
    wanted = os.environ.get("QCORE_BACKEND", "")
    if wanted not in ("", "reference"):
        raise ValueError(f"QCORE_BACKEND must be 'reference' or unset; got {wanted!r}.")
    return wanted == "reference"


PORTABLE = _is_portable_forced()
"""Whether all natives step aside but those that may be traced, which only say the
portable function in the words of their library: its loops, its true division."""


_kernels: dict[str, "Kernel"] = {}


def kernels() -> dict[str, "Kernel"]:
    """Return the kernels of all modules imported so far, by name."""
    return dict(_kernels)


@dataclass(frozen=True)
class Declined:
    """The answer of a native function that leaves a call to the next one, and why."""

    reason: str


def declined(reason: str, /) -> Declined:
    """Return what a native function answers to decline; the report tells the reason."""
    return Declined(reason)


@dataclass(frozen=True)
class Native:
    """A native function, and whether it may be given traced arrays."""

    function: Function
    traceable: bool

    @property
    def source(self) -> str:
        """The module that the function comes from."""
        return str(getattr(self.function, "__module__", "unknown"))


class Kernel:
    """A portable function plus the native ones that may stand in for it.

    Calling it asks the native functions of the arrays' library, the one that was
    registered last first. The portable `reference` runs if there is none, if the first
    argument is being traced and none is `traceable`, or if all of them decline: answer
    `declined` or ``NotImplemented``.

    Attributes
    ----------
    reference : callable
        The portable function. Counts and codes of every native one must equal it bit
        for bit, objectives of searches far more closely than the tie rule tells apart.
    natives : dict
        Lists of `Native` by library name, in the order in which they are asked.
    declines : dict
        By library and module: why its function declined, the last time.
    """

    def __init__(self, reference: Function) -> None:
        self.reference = reference
        self.natives: dict[str, list[Native]] = {}
        self.declines: dict[tuple[str, str], str] = {}
        update_wrapper(self, reference)
        _kernels[reference.__name__] = self

    def accelerate(
        self, library: str, /, *, traceable: bool = False
    ) -> Callable[[Function], Function]:
        """Return a decorator that registers a native function for `library`."""

        def register(function: Function) -> Function:
            natives = self.natives.setdefault(library, [])
            natives.insert(0, Native(function, traceable))
            return function

        return register

    def __call__(self, x: Array, /, *args: Any, xp: Namespace, **options: Any) -> Any:
        """Run the first native function that serves `x`, or else the reference."""
        library = library_name(xp)
        for native in self.natives.get(library, ()):
            if not native.traceable and (PORTABLE or not is_concrete(x, xp)):
                continue
            result = native.function(x, *args, **options)
            if isinstance(result, Declined):
                self.declines[library, native.source] = result.reason
            elif result is not NotImplemented:
                return result
        return self.reference(x, *args, xp=xp, **options)


@Kernel
def map_blocks(blocks: Array, function: Function, /, *, xp: Namespace) -> Array:
    """Return ``function`` of each ``blocks[i]``, stacked along a new first axis.

    A loop here, so that a search over thousands of candidates needs the memory of one
    block; a library that traces replaces it by its own loop, which is not unrolled.
    """
    return xp.stack([function(blocks[i, ...]) for i in range(blocks.shape[0])])


@Kernel
def fold(start: Array, items: Array, function: Function, /, *, xp: Namespace) -> Array:
    """Return ``function(… function(start, items[0]) …, items[-1])``.

    A loop here; a library that traces replaces it by its own loop. XLA takes minutes to
    compile a dozen lookups that each depend on the last, written out.
    """
    del xp
    for i in range(items.shape[0]):
        start = function(start, items[i, ...])
    return start
