"""Any record, read and written in one form: `QParams` by tensor."""

from qcore import QParams, QuantSpec
from qcore.adapters.given_path import path_to_write
from qcore.adapters.records.contents import PathLike
from qcore.adapters.records.grid_ranges import respecified
from qcore.adapters.records.kinds import find, meant, told
from qcore.adapters.records.tensors import Tensors
from qcore.errors import QuantError


def read(
    path: PathLike,
    /,
    *,
    kind: str | None = None,
    spec: QuantSpec | None = None,
    **options: object,
) -> dict[str, QParams]:
    """
    Return what a record tells of tensors.

    Parameters
    ----------
    path : path
        The file.
    kind : str, optional
        Its kind, a key of `kinds.KINDS`; by default told by what is in the file, or
        else by its name.
    spec : QuantSpec, optional
        Of codes that reach the same ranges; needed where a file tells ranges alone,
        which by default become uint8, asymmetric. Per tensor.
    **options
        What the kind has: see its module.

    Returns
    -------
    dict
        From names of tensors to `QParams` of numpy, in the order of the file.

    Raises
    ------
    FileFormatError
        If the file is not of that kind, or of none.
    QuantError
        If a spec is given and a tensor has no range per tensor.
    OSError
        If it cannot be read.
    """
    found = told(path) if kind is None else find(kind)
    if spec is None:
        return found.read(path, **options)
    if found.tells_ranges:
        return found.read(path, spec=spec, **options)
    tensors = found.read(path, **options)
    return {name: respecified(name, one, spec) for name, one in tensors.items()}


def write(
    path: PathLike,
    tensors: Tensors,
    /,
    *,
    kind: str | None = None,
    **options: object,
) -> None:
    """
    Write a record, atomically.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    tensors : mapping
        From names of tensors to `QParams` of any library.
    kind : str, optional
        Its kind, a key of `kinds.KINDS`; by default what the end of the name means.
    **options
        What the kind has: see its module.

    Raises
    ------
    QuantError
        If the kind cannot hold a tensor; it names the first. Nothing is written.
    OSError
        If the file cannot be written.
    """
    found = meant(path) if kind is None else find(kind)
    if found.write is None:
        raise QuantError(f"the kind {found.name!r} is read alone, not written.")
    found.write(path_to_write(path), tensors, **options)
