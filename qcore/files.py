"""Statistics in files: safetensors, readable on any library.

A state's arrays are stored under ``"<number>.<field>"``, integers in the narrowest
unsigned dtype that holds them, slots up to the last one in use. The header's
``qcore`` entry is JSON: the file's version, name, class and settings of each state,
and which parts of a run they are of.
"""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from qcore.errors import FileFormatError
from qcore.shards import Shards
from qcore.typing import Array, Device, Namespace

VERSION = 1

_DTYPES = {
    "k": "int32",
    "min": "float32",
    "max": "float32",
    "sums": "int64",
    "products": "int64",
    "scale": "float32",
    "zero_point": "int32",
}
"""Of a state's arrays; all others count, are int64 and stored as narrow as they fit."""
_SLOTTED = ("counts", "starts", "ends")
"""Those stored up to the last slot in use."""
_SYMMETRIC = ("products",)
"""Those stored as the lower triangles of matrices."""


def save(
    path: str | os.PathLike[str],
    statistics: Mapping[str, Any],
    /,
    *,
    shards: Shards | None = None,
) -> None:
    """
    Write statistics to a file, atomically.

    Parameters
    ----------
    path : path
        The file; an old one is replaced once the new one is whole.
    statistics : mapping
        From names, such as those of tensors, to states of any library.
    shards : Shards, optional
        Which parts of a run they are of, so that `merge_files` counts none twice.

    Raises
    ------
    TypeError
        If a name is not a string or a value not statistics.
    OSError
        If the file cannot be written.
    """
    arrays, states = to_arrays(statistics)
    header = {"version": VERSION, "states": states}
    if shards is not None:
        header["shards"] = shards.to_json()
    write_arrays(path, arrays, header)


def load(
    path: str | os.PathLike[str],
    /,
    *,
    xp: Namespace | None = None,
    device: Device | None = None,
) -> dict[str, Any]:
    """
    Read statistics from a file.

    Parameters
    ----------
    path : path
        A file that `save` wrote.
    xp : namespace, optional
        The library whose arrays the states shall hold; numpy by default.
    device : device, optional
        One of that library.

    Returns
    -------
    dict
        From names to states, in the order they were saved.

    Raises
    ------
    FileFormatError
        If the file is not one of statistics, is damaged, or is of a later version.
    OSError
        If the file cannot be read.
    """
    import numpy as np

    with read_arrays(path, "statistics") as (arrays, header):
        states = from_arrays(arrays, header["states"])
    target = np if xp is None else xp
    return {name: state.to(target, device) for name, state in states.items()}


def to_arrays(
    statistics: Mapping[str, Any], /
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what a file holds: arrays of numpy, and a description of each state.

    Raises
    ------
    TypeError
        If a name is not a string or a value not statistics.
    """
    from qcore.statistics import Statistics
    from qcore.statistics.describe import describe

    arrays: dict[str, Any] = {}
    states = []
    for number, (name, state) in enumerate(statistics.items()):
        if not isinstance(name, str):
            raise TypeError(f"`statistics` must have strings for names; got {name!r}.")
        if not isinstance(state, Statistics):
            raise TypeError(
                f"`statistics` must hold states such as Histogram; got "
                f"{type(state).__name__} for {name!r}."
            )
        for field, values in _stored_arrays(state).items():
            arrays[f"{number}.{field}"] = values
        states.append({"name": name, **describe(state)})
    return arrays, states


def from_arrays(
    arrays: Mapping[str, Any], states: Sequence[Mapping[str, Any]], /
) -> dict[str, Any]:
    """Return the states of what `to_arrays` returned, in arrays of numpy.

    Raises
    ------
    LookupError, TypeError, ValueError, AttributeError
        If they do not fit together.
    """
    return {
        description["name"]: read_state(number, description, arrays)
        for number, description in enumerate(states)
    }


def write_arrays(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Any],
    header: Mapping[str, Any],
    /,
) -> None:
    """Write arrays of numpy and a header of plain data to a file, atomically."""
    from safetensors.numpy import save as to_bytes

    content = to_bytes(dict(arrays), metadata={"qcore": json.dumps(header)})
    with written_atomically(path) as file:
        file.write(content)


@contextmanager
def read_arrays(
    path: str | os.PathLike[str], contents: str, /
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Open a file for its arrays and its header, which the block makes something of.

    `contents` says in errors what it must be a file of.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    FileFormatError
        If it is another kind of file, or of a later version, or the block finds that
        its contents do not fit together.
    """
    expected = f"{path} must be a file of {contents}"
    try:
        yield _read(path, expected)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{expected}; its contents do not fit together "
            f"({type(error).__name__}: {error})."
        ) from error


@contextmanager
def written_atomically(path: str | os.PathLike[str], /) -> Iterator[BinaryIO]:
    """Open a file that takes its name only when the block ends without an error."""
    target = Path(path)
    descriptor, scratch = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name}.", suffix=".part"
    )
    try:
        with naming(target), os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(scratch).chmod(_default_mode())
        Path(scratch).replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(scratch).unlink()
        raise


@contextmanager
def naming(path: str | os.PathLike[str], /) -> Iterator[None]:
    """Have errors of writing name the file; that of a full disk does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def host_array(x: Array, /, *, copy: bool = False) -> Any:
    """Return an array of the host's memory as one of numpy."""
    import numpy as np

    whole = x if isinstance(x, np.ndarray | np.generic) else np.from_dlpack(x)
    return np.array(whole) if copy else np.asarray(whole)


def _read(
    path: str | os.PathLike[str], expected: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of a file and its header."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"{expected}; there is no such file.")
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {}).get("qcore", "null"))
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise FileFormatError(
            f"{expected}; it is no safetensors file ({error})."
        ) from error
    if not isinstance(header, dict):
        raise FileFormatError(f"{expected}; it holds other tensors.")
    if header["version"] > VERSION:
        raise FileFormatError(
            f"{path} must be of version {VERSION} at most; got {header['version']}: "
            "a later qcore wrote it."
        )
    return arrays, header


def _default_mode() -> int:
    """Return the permissions a new file would have; a temporary one has fewer."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _stored_arrays(state: Any) -> dict[str, Any]:
    """Return a state's arrays as they are stored."""
    import numpy as np

    from qcore.transfer import to_host

    stored = {}
    for field in state.array_fields():
        values = np.ascontiguousarray(to_host(getattr(state, field), xp=state.xp))
        if field in _SLOTTED:
            used = np.flatnonzero(values.any(axis=tuple(range(values.ndim - 1))))
            values = values[..., : used[-1] + 1 if len(used) else 0]
        if field in _SYMMETRIC:
            values = values[..., *np.tril_indices(values.shape[-1])]
        if field not in _DTYPES:
            largest = int(values.max(initial=0))
            values = values.astype(np.min_scalar_type(largest))
        stored[field] = np.ascontiguousarray(values)
    return stored


def read_state(number: int, description: Mapping[str, Any], arrays: Any, /) -> Any:
    """Return one state, in arrays of numpy, its shapes checked."""
    import numpy as np

    from qcore.statistics.describe import array_shapes, described
    from qcore.statistics.tally import K_MAX, K_MIN

    cls, settings = described(description)
    parts = {}
    for field, expected in array_shapes(cls, settings).items():
        values = arrays[f"{number}.{field}"].astype(_DTYPES.get(field, "int64"))
        if field in _SLOTTED:
            missing = expected[-1] - values.shape[-1]
            values = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])
        if field in _SYMMETRIC:
            low, high = np.tril_indices(expected[-1])
            whole = np.empty(expected, values.dtype)
            whole[..., low, high] = whole[..., high, low] = values
            values = whole
        if values.shape != expected:
            raise ValueError(f"{field} of shape {values.shape}, not {expected}")
        if field == "k" and ((values < K_MIN) | (values > K_MAX)).any():
            raise ValueError(f"k from {values.min()} to {values.max()}")
        parts[field] = values
    return cls(**parts, **settings)
