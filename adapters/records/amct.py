"""Record files of AMCT (Ascend Model Compression Toolkit): read, written, merged.

A file is protobuf text: of each layer by name, the scales and offsets of its input and
weights, and of what it puts in a KV cache. AMCT empties an old file before it writes;
here a file is merged with, and replaced at once.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from qcore.adapters.records import protobuf
from qcore.adapters.records.amct_entry import Entry, KVCacheRecord, LayerRecord
from qcore.adapters.records.amct_fields import recorded
from qcore.adapters.records.locking import locked
from qcore.files import written_atomically

__all__ = ["Entry", "KVCacheRecord", "LayerRecord", "Record", "merge", "read", "write"]

PathLike: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True)
class Record(Mapping[str, Entry]):
    """
    A whole file: a mapping from the names of layers to their entries.

    Attributes
    ----------
    entries : mapping
        From names to entries, in the order of the file.
    prune_records : tuple of str
        What the file says of pruned channels, kept as text.

    Raises
    ------
    TypeError
        If a name is no string, or what it names no entry.
    """

    entries: Mapping[str, Entry] = field(default_factory=dict)
    prune_records: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Hold a dictionary of its own."""
        object.__setattr__(self, "entries", dict(self.entries))
        for name, entry in self.entries.items():
            if not (isinstance(name, str) and isinstance(entry, Entry)):
                raise TypeError(
                    f"a record must map names to entries; got {entry!r} for {name!r}."
                )

    def __getitem__(self, name: str) -> Entry:
        return self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


def read(path: PathLike, /) -> Record:
    """
    Return the record in a file.

    Parameters
    ----------
    path : path
        A file of AMCT's or ours; an empty one is a record of nothing. A layer may have
        several entries, an entry several blocks: of each field the last one counts.

    Raises
    ------
    FileFormatError
        If the file is not such a record; it names the line.
    OSError
        If the file cannot be read.
    """
    message = protobuf.parse(Path(path))
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in message.record:
        blocks = found.setdefault(entry.key, {})
        for kind in _KINDS:
            for block in getattr(entry, kind):
                blocks.setdefault(kind, {}).update(_fields(block))
    entries = {
        name: Entry(**{kind: _KINDS[kind](**blocks[kind]) for kind in blocks})
        for name, blocks in found.items()
    }
    pruned = tuple(protobuf.printed(part) for part in message.prune_record)
    return Record(entries, pruned)


def write(path: PathLike, record: Mapping[str, Entry], /) -> None:
    """
    Write a record to a file, which is the old one until the new one is whole.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    record : Record or mapping
        From the names of layers to their entries.

    Raises
    ------
    TypeError
        If it is no such mapping.
    OSError
        If the file cannot be written.
    """
    record = _as_record(record)
    message = protobuf.new_message()
    for name, entry in record.items():
        part = message.record.add(key=name)
        for kind in _KINDS:
            if (factors := getattr(entry, kind)) is not None:
                getattr(part, kind).add(**recorded(factors))
    for text in record.prune_records:
        protobuf.merge_text(text, message.prune_record.add())
    with written_atomically(path) as file:
        file.write(protobuf.printed(message).encode())


def merge(
    path: PathLike, updates: Mapping[str, Entry], /
) -> tuple[tuple[str, str], ...]:
    """
    Add entries to a file, which is made if there is none.

    What the file says of other layers and other factors stays; comments in it do not.
    Processes that merge into one file at one time wait for each other.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    updates : Record or mapping
        From the names of layers to what shall be recorded of them.

    Returns
    -------
    tuple of (str, str)
        What the file had and is overwritten: names of the layer and the parameter.

    Raises
    ------
    FileFormatError
        If the file is no such record; it is left as it is.
    TypeError
        If the updates are no such mapping.
    TimeoutError
        If another process holds the file for a minute.
    OSError
        If the file cannot be read or written.
    """
    updates = _as_record(updates)
    path = Path(path).resolve()  # a link stays one, and has the lock of its target
    with locked(path):
        old = read(path) if path.exists() else Record()
        entries = dict(old)
        overwritten = []
        for name, update in updates.items():
            entries[name], names = old.get(name, Entry()).merged(update)
            overwritten += [(name, parameter) for parameter in names]
        pruned = dict.fromkeys((*old.prune_records, *updates.prune_records))
        write(path, replace(old, entries=entries, prune_records=tuple(pruned)))
    return tuple(overwritten)


_KINDS: dict[str, Any] = {"value": LayerRecord, "kv_cache_value": KVCacheRecord}


def _fields(block: protobuf.Message) -> dict[str, Any]:
    """Return the fields of a block that are there."""
    return {
        field.name: value if isinstance(value, int | float | str) else tuple(value)
        for field, value in block.ListFields()
    }


def _as_record(given: Mapping[str, Entry]) -> Record:
    if not isinstance(given, Mapping):
        raise TypeError(
            f"a record must map names to entries; got {type(given).__name__}."
        )
    return given if isinstance(given, Record) else Record(given)
