"""Statistics of all processes of torch.distributed, merged exactly.

Names are exchanged first. Then two collectives serve all tensors at once: the widest
slots and the outermost values, and, on these slots, the sums of all counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from array_api_compat import device as device_of
from array_api_compat import torch as xp
from torch import distributed, nn

from qcore.adapters.torch.given_model import check_model
from qcore.adapters.torch.quantizer.lookup import named_quantizers
from qcore.adapters.torch.synchronization.meeting import Meeting, is_distributed
from qcore.libraries import library_name
from qcore.statistics import Histogram, MovingRange, Statistics
from qcore.statistics.describe import array_shapes, describe, described
from qcore.statistics.tally import K_MIN

TIMEOUT = 600.0
"""Seconds; ranks may have had very different amounts of data."""


def sync_statistics(
    model: nn.Module,
    group: distributed.ProcessGroup | None = None,
    *,
    timeout: float = TIMEOUT,
) -> dict[str, Statistics]:
    """
    Give the calibrators of all processes the statistics of all the data.

    Every process of the group must call this. What they hold may differ: in how much
    was seen, or whether anything, and in which quantizers there are.

    Parameters
    ----------
    model : Module
        Its quantizers, known by their names, take what was merged.
    group : ProcessGroup, optional
        All processes by default.
    timeout : float, optional
        Seconds to wait for the others.

    Returns
    -------
    dict
        As of `sync`: also of quantizers that this process has not.

    Raises
    ------
    TimeoutError, ConnectionError, ValueError, TypeError
        As `sync`.

    Notes
    -----
    Weights count once for each process that has collected them, on which no range
    depends.
    """
    check_model(model)
    calibrators = {
        name: (quantizer.calibrator, quantizer.device)
        for name, quantizer in named_quantizers(model).items()
        if quantizer.calibrator is not None
    }
    own = {name: calibrator.statistics for name, (calibrator, _) in calibrators.items()}
    merged = sync(own, group, timeout=timeout)
    for name, (calibrator, device) in calibrators.items():
        if name in merged:
            state = merged[name]
            is_new = calibrator.statistics is None
            calibrator.statistics = _placed(state, xp, device) if is_new else state
    return merged


def sync(
    statistics: Mapping[str, Statistics | None],
    group: distributed.ProcessGroup | None = None,
    *,
    timeout: float = TIMEOUT,
) -> dict[str, Statistics]:
    """
    Return the statistics of all processes, merged.

    Every process of the group must call this, with any names; without torch.distributed
    there is nothing to merge.

    Parameters
    ----------
    statistics : mapping
        From names to states, or to None where nothing was seen.
    group : ProcessGroup, optional
        All processes by default.
    timeout : float, optional
        Seconds to wait for the others.

    Returns
    -------
    dict
        Of every name that has a state in any process, in the same order in all of them:
        the bits of one state that saw all the data. Of the library and on the device of
        the process's own state; a tensor where the collectives are if it had none.

    Raises
    ------
    TimeoutError
        In every process, if one does not call this in time; it is named.
    ConnectionError
        If rank 0 has ended, where it keeps the store through which processes meet.
    ValueError
        In every process, if states of one name were not collected alike; names the
        first difference.
    TypeError
        In every process, if a value is not statistics, or is a `MovingRange`, which
        depends on the order of its data.
    """
    if not isinstance(statistics, Mapping):
        raise TypeError(
            f"`statistics` must map names to states; got {type(statistics).__name__}."
        )
    own = {name: state for name, state in statistics.items() if state is not None}
    if not is_distributed():
        return own
    with Meeting("sync_statistics", group, timeout=timeout) as meeting:
        said = meeting.exchange([[name, _plain(state)] for name, state in own.items()])
        agreed = _agreed(dict(zip(meeting.ranks, said, strict=True)))
        states = [
            _placed(own[name], xp, meeting.device)
            if name in own
            else _identity(description, meeting.device)
            for name, description in agreed.items()
        ]
        merged = dict(zip(agreed, _merged(states, meeting), strict=True))
    for name, state in own.items():
        merged[name] = _placed(merged[name], state.xp, device_of(state.min))
    return merged


def _plain(state: Any) -> dict[str, Any]:
    """Return what others must know of a state, also if it is none."""
    if isinstance(state, Statistics):
        return describe(state)
    return {"class": type(state).__name__}


def _agreed(said: Mapping[int, Sequence[Any]]) -> dict[str, dict[str, Any]]:
    """Return each name's description, on which the ranks that have one must agree."""
    mergeable = {kind.__name__ for kind in Statistics.__subclasses__()}
    mergeable.remove(MovingRange.__name__)
    first: dict[str, tuple[int, dict[str, Any]]] = {}
    for rank, states in said.items():
        for name, description in states:
            if not isinstance(name, str):
                raise TypeError(
                    f"`statistics` must have strings for names; got {name!r} in rank "
                    f"{rank}."
                )
            if description["class"] not in mergeable:
                raise TypeError(
                    f"statistics of {name!r} must be such as merge in any order, "
                    f"{', '.join(sorted(mergeable))}; got {description['class']} in "
                    f"rank {rank}."
                )
            known_rank, known = first.setdefault(name, (rank, description))
            for what, mine, theirs in _differences(known, description):
                raise ValueError(
                    f"statistics of {name!r} must share their {what}; got {mine} in "
                    f"rank {known_rank} and {theirs} in rank {rank}."
                )
    return {name: description for name, (_, description) in first.items()}


def _differences(
    one: Mapping[str, Any], other: Mapping[str, Any]
) -> list[tuple[str, Any, Any]]:
    """Return what two descriptions do not share, and both values."""
    if one["class"] != other["class"]:
        return [("class", one["class"], other["class"])]
    (_, mine), (_, theirs) = described(one), described(other)
    return [(key, mine[key], theirs[key]) for key in mine if mine[key] != theirs[key]]


def _identity(description: Mapping[str, Any], device: torch.device) -> Statistics:
    """Return the state of no data at all."""
    cls, settings = described(description)
    arrays: dict[str, Any] = {
        field: torch.zeros(shape, dtype=torch.int64, device=device)
        for field, shape in array_shapes(cls, settings).items()
    }
    infinity = torch.full_like(arrays["min"], torch.inf, dtype=torch.float32)
    arrays |= {"min": infinity, "max": -infinity}
    if "k" in arrays:
        arrays["k"] = torch.full_like(arrays["k"], K_MIN, dtype=torch.int32)
    return cls(**arrays, **settings)


def _merged(states: Sequence[Statistics], meeting: Meeting) -> list[Statistics]:
    """Return states merged with those of the other processes, in two collectives."""
    if not states:
        return []
    outermost = meeting.all_reduce(
        [torch.stack([_k(state), -state.min, state.max]) for state in states],
        distributed.ReduceOp.MAX,
    )
    wide = [
        state.rescale(ends[0].to(torch.int32))
        if isinstance(state, Histogram)
        else state
        for state, ends in zip(states, outermost, strict=True)
    ]
    sums = iter(
        meeting.all_reduce(
            [getattr(state, field) for state in wide for field in state.counted],
            distributed.ReduceOp.SUM,
        )
    )
    whole = []
    for state, ends in zip(wide, outermost, strict=True):
        counts: dict[str, Any] = {field: next(sums).clone() for field in state.counted}
        whole.append(replace(state, min=-ends[1], max=ends[2].clone(), **counts))
    return whole


def _k(state: Statistics) -> torch.Tensor:
    """Return log2 of the slots' widths, a whole number that float32 holds."""
    if not isinstance(state, Histogram):
        return torch.zeros_like(state.min)
    k: torch.Tensor = state.k.to(torch.float32)
    return k


def _placed(state: Statistics, library: Any, device: Any) -> Statistics:
    """Return a state on a device of a library, itself if it is there."""
    is_there = library_name(state.xp) == library_name(library)
    if is_there and device_of(state.min) == device:
        return state
    return state.to(library, device)
