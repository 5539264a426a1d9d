"""Arrays from one library to another, through the host's memory."""

from typing import Any

from qcore.files import host_array
from qcore.kernels import Kernel
from qcore.libraries import arithmetic, library_name, load_backends, namespace
from qcore.typing import Array, Device, Namespace


@Kernel
def to_host(x: Array, /, *, xp: Namespace) -> Any:  # noqa: ARG001 - the seam passes it
    """Return the values of an array as an array of numpy."""
    return host_array(x)


def from_host(values: Any, xp: Namespace, device: Device | None = None, /) -> Array:
    """Return an array of `xp` with the values of one of numpy, copied."""
    load_backends(library_name(xp))
    with arithmetic(xp):
        return xp.asarray(host_array(values, copy=True), device=device)


def transfer(x: Array, xp: Namespace, device: Device | None = None, /) -> Array:
    """Return the same values as an array of `xp` on a device of it."""
    return from_host(to_host(x, xp=namespace(x)), xp, device)
