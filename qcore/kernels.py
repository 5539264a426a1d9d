"""The seam where a backend may replace a portable function by a faster one."""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from qcore.libraries import is_concrete, library_name
from qcore.typing import Array, Namespace

Function = Callable[..., Any]


class Kernel:
    """A portable function plus the native ones that may stand in for it.

    Calling it runs the native function of the arrays' library. That is the portable
    `reference` if there is none, if the first argument is being traced and the native
    one is not `traceable`, or if the native one answers ``NotImplemented``.

    Attributes
    ----------
    reference : callable
        The portable function. Counts and codes of every native one must equal it bit
        for bit, objectives of searches far more closely than the tie rule tells apart.
    native : dict
        Native functions by library name.
    traceable : set
        Libraries whose native function may be given traced arrays.
    """

    def __init__(self, reference: Function) -> None:
        self.reference = reference
        self.native: dict[str, Function] = {}
        self.traceable: set[str] = set()
        update_wrapper(self, reference)

    def accelerate(
        self, library: str, /, *, traceable: bool = False
    ) -> Callable[[Function], Function]:
        """Return a decorator that registers a native function for `library`."""

        def register(native: Function) -> Function:
            self.native[library] = native
            if traceable:
                self.traceable.add(library)
            return native

        return register

    def __call__(self, x: Array, /, *args: Any, xp: Namespace, **options: Any) -> Any:
        """Run the native function for `x`, or the reference where it declines."""
        name = library_name(xp)
        native = self.native.get(name)
        if native is not None and (name in self.traceable or is_concrete(x, xp)):
            result = native(x, *args, **options)
            if result is not NotImplemented:
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
