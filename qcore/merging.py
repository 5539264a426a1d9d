"""Merge files of statistics, such as those of many machines, one held at a time."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qcore.errors import QuantError, ShardError
from qcore.files import read_arrays, read_state
from qcore.shards import Shards, named
from qcore.statistics.histogram import Histogram

MOST_GRIDS = 8
"""Sums on grids of their own that are held of one tensor."""


def merge_files(
    paths: Iterable[str | os.PathLike[str]], /, *, partial: bool = False
) -> tuple[dict[str, Any], Shards | None]:
    """
    Return the statistics of all that was seen for any of the files.

    Parameters
    ----------
    paths : iterable of path
        Files that `save` wrote, in any order; at least one. A name that only some of
        them hold is merged of those.
    partial : bool, optional
        Whether shards of the run may be missing, to be merged later.

    Returns
    -------
    statistics : dict
        From names to states, in arrays of numpy.
    shards : Shards or None
        Which parts of the run they are of, if the files say so.

    Raises
    ------
    ShardError
        If a part of the run is there twice, is missing, or is of another run.
    FileFormatError
        If a file is not one of statistics, or is damaged.
    QuantError
        If statistics of one name were not collected alike, or do not merge.
    OSError
        If a file cannot be read.
    """
    sums: dict[str, _Sum] = {}
    places: dict[str, tuple[int, int]] = {}
    joined = _Joined()
    for path in map(Path, paths):
        with read_arrays(path, "statistics") as (arrays, header):
            marks = header.get("shards")
            shards = None if marks is None else Shards.of_json(marks)
            descriptions, others = header["states"], []
            for number, description in enumerate(descriptions):
                found = sums.setdefault(description["name"], _Sum(description))
                if not found.add(number, description, arrays):
                    state = read_state(number, description, arrays)
                    others.append((found, description, state))
        first = joined.add(path, shards)
        for number, description in enumerate(descriptions):
            name, place = description["name"], (first, number)
            places[name] = min(places.get(name, place), place)
        for found, description, state in others:
            try:
                found.merge(state, description)
            except (TypeError, ValueError) as error:
                raise QuantError(f"{path}: {description['name']!r}: {error}") from error
    shards = joined.checked(partial=partial)
    ordered = sorted(sums, key=places.__getitem__)
    return {name: sums[name].whole() for name in ordered}, shards


class _Sum:
    """Statistics of one name, added up in place for each grid that there is.

    Counts on one grid add as they are stored, narrow and without the slots that are not
    in use, in a tenth of the time that merging states takes.

    Parameters
    ----------
    description : mapping
        What files say of them, the same in all of them.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.description = description
        self.states: dict[bytes, Any] = {}
        self.steps: dict[str, Any] = {}

    def add(
        self, number: int, description: Mapping[str, Any], arrays: Mapping[str, Any]
    ) -> bool:
        """Add what a file holds, if it counts on a grid that is known."""
        if description["class"] != "Histogram" or description != self.description:
            return False
        state = self.states.get(arrays[f"{number}.k"].tobytes())
        if state is None:
            return False
        for field, joined in self.steps.items():
            total, values = getattr(state, field), arrays[f"{number}.{field}"]
            if values.shape != total.shape:
                total = _used(field, total, values.shape)
            # Unsigned 64-bit integers would else add as floats.
            joined(total, values, out=total, dtype=total.dtype, casting="unsafe")
        return True

    def merge(self, state: Any, description: Mapping[str, Any]) -> None:
        """Merge a state, whose arrays are given away."""
        if description != self.description:  # raises, with the first difference
            next(iter(self.states.values())).merge(state)
        grid = state.k.tobytes() if isinstance(state, Histogram) else b""
        xp = state.xp
        self.steps = dict.fromkeys(state.counted, xp.add)
        self.steps |= {"min": xp.minimum, "max": xp.maximum}
        known = self.states.get(grid)
        self.states[grid] = state if known is None else known.merge(state)
        if len(self.states) > MOST_GRIDS:
            self._merge_grids()

    def whole(self) -> Any:
        """Return the statistics of all that was added and merged."""
        self._merge_grids()
        (state,) = self.states.values()
        return state

    def _merge_grids(self) -> None:
        states = iter(self.states.values())
        whole = next(states)
        for state in states:
            whole = whole.merge(state)
        grid = whole.k.tobytes() if isinstance(whole, Histogram) else b""
        self.states = {grid: whole}


def _used(field: str, total: Any, shape: tuple[int, ...]) -> Any:
    """Return the slots of a sum that are in use in a file."""
    if shape[:-1] != total.shape[:-1] or shape[-1] > total.shape[-1]:
        raise ValueError(f"{field} of shape {shape}, not {total.shape}")
    return total[..., : shape[-1]]


class _Joined:
    """Which shards the files hold, each of them once."""

    def __init__(self) -> None:
        self.paths: dict[Path, None] = {}
        self.shards: Shards | None = None
        self.holders: dict[int, Path] = {}

    def add(self, path: Path, shards: Shards | None) -> int:
        """Return the first shard in a file, or the place of one that names none.

        Raises
        ------
        ShardError
            If it holds what another one does, or is of another run.
        """
        whole = path.resolve()
        if whole in self.paths:
            raise ShardError(f"{path} must be given once; got twice.")
        if self.paths and (shards is None) != (self.shards is None):
            odd = path if shards is None else next(iter(self.paths))
            raise ShardError(
                f"files must all be shards, or none of them; {odd} is none."
            )
        self.paths[whole] = None
        if shards is None:
            return len(self.paths)
        for number in shards.numbers:
            if number in self.holders:
                raise ShardError(
                    f"{named([number], shards.of)} must be given once; both "
                    f"{self.holders[number]} and {path} hold it."
                )
        try:
            self.shards = self.shards.joined(shards) if self.shards else shards
        except ShardError as error:
            raise ShardError(f"{path}: {error}") from error
        self.holders |= dict.fromkeys(shards.numbers, path)
        return min(shards.numbers, default=0)

    def checked(self, *, partial: bool) -> Shards | None:
        """Return the shards.

        Raises
        ------
        ShardError
            If there was no file, or a shard is missing that may not.
        """
        if not self.paths:
            raise ShardError("files to merge must be given; got none.")
        if self.shards and self.shards.missing and not partial:
            missing = named(self.shards.missing, self.shards.of)
            raise ShardError(
                f"all shards of the run must be given; missing: {missing}."
            )
        return self.shards
