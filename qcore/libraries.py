"""What qcore must know about an array library beyond the standard.

A library is known by the name of its namespace (``numpy``, ``torch``, ``jax.numpy``,
``cupy``). The first eager call with one of its arrays loads the modules registered for
that name in the entry-point group ``qcore.backends``; they fill this table and the
tables of the kernels. Nothing here is written for one of them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import entry_points

from array_api_compat import array_namespace
from array_api_compat import device as device_of

from qcore.typing import Array, Device, Namespace


def _always(_: Array) -> bool:
    return True


def _same(x: Array) -> Array:
    return x


@dataclass(frozen=True)
class Library:
    """The ways in which a library needs to be asked differently.

    Attributes
    ----------
    arithmetic
        Makes the context in which qcore computes: 64-bit integers where they are off
        by default, no warnings about infinities that the formulas expect.
    is_concrete
        Whether an array holds values now, rather than stand for those of a later run.
    detached
        The same values, cut off from what computed them: no gradient flows.
    one_device
        Where an array lies; None if on several devices, or, traced, on none.
    """

    arithmetic: Callable[[], AbstractContextManager[object]] = nullcontext
    is_concrete: Callable[[Array], bool] = _always
    detached: Callable[[Array], Array] = _same
    one_device: Callable[[Array], Device | None] = device_of


_PLAIN = Library()
_libraries: dict[str, Library] = {}
_loaded: set[str] = set()


def register_library(name: str, library: Library, /) -> None:
    """Say how the library called `name` has to be asked."""
    _libraries[name] = library


def library_name(xp: Namespace, /) -> str:
    """Return the name under which backends register for a namespace."""
    return str(xp.__name__).removeprefix("array_api_compat.")


def load_backends(name: str, /) -> None:
    """Import, once, the backend modules registered for the library called `name`."""
    if name not in _loaded:
        for entry in entry_points(group="qcore.backends", name=name):
            entry.load()
        _loaded.add(name)  # not before: what fails shall fail again, not be left out


def namespace(
    x: Array, xp: Namespace | None = None, /, *, what: str = "`x`"
) -> Namespace:
    """Return the namespace of an array, its backends loaded; `what` is its name.

    Raises
    ------
    TypeError
        If `x` is not an array of a library that follows the array API standard.
    """
    if xp is None:
        try:
            xp = array_namespace(x)
        except TypeError:
            raise TypeError(
                f"{what} must be an array of numpy, torch, jax, cupy or another "
                f"library of the array API standard; got {type(x).__name__}."
            ) from None
    load_backends(library_name(xp))
    return xp


def arithmetic(xp: Namespace, /) -> AbstractContextManager[object]:
    """Return the context in which qcore computes on arrays of `xp`."""
    return _libraries.get(library_name(xp), _PLAIN).arithmetic()


def is_concrete(x: Array, xp: Namespace, /) -> bool:
    """Whether the values of `x` can be looked at now (not while tracing)."""
    return _libraries.get(library_name(xp), _PLAIN).is_concrete(x)


def detached(x: Array, xp: Namespace, /) -> Array:
    """Return the values of `x` without the graph of a library that differentiates."""
    return _libraries.get(library_name(xp), _PLAIN).detached(x)


def one_device(x: Array, xp: Namespace, /) -> Device | None:
    """Return the device of `x`, or None if that is not one (traced, spread)."""
    return _libraries.get(library_name(xp), _PLAIN).one_device(x)


def check_library(x: Array, xp: Namespace, what: str, /) -> None:
    """Raise TypeError if something is no array of the library of `xp`."""
    library, own = library_name(xp), library_name(namespace(x, what=what))
    if library != own:
        raise TypeError(f"{what} must be of the data's library, {library}; got {own}.")
