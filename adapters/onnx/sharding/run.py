"""A calibration that can be done in parts, here or in other processes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import onnx_ir as ir

from qcore.adapters.onnx.data.inputs import Feed, Input, inputs_of
from qcore.adapters.onnx.data.picking import (
    WHOLE,
    KnownFeeds,
    Numbered,
    Shard,
    count,
    pick_samples,
    shard_numbers,
    shareable,
)
from qcore.adapters.onnx.digest import digest, of_model, of_versions
from qcore.adapters.onnx.files.model_file import Source
from qcore.adapters.onnx.folding import Folded, Kind, States, find_tensors, fold
from qcore.adapters.onnx.prepare import prepare
from qcore.shards import Shards


@dataclass(frozen=True)
class Part:
    """
    What a process needs to know of a part of a calibration.

    Attributes
    ----------
    model : path or ModelProto
        The float model.
    keep_existing : bool
        As in `plan`.
    feeds : iterable of samples
        All of them.
    limit : int or None
        How many of them are used.
    shard : (int, int)
        Which part of those is this one, from 1, and of how many.
    tensors : tuple of str
        What is calibrated.
    kind : type
        What is collected.
    options : mapping
        How.
    """

    model: Source
    keep_existing: bool
    feeds: Iterable[Feed]
    limit: int | None
    shard: Shard
    tensors: tuple[str, ...]
    kind: Kind
    options: Mapping[str, Any]

    def samples(self, start: int = 0) -> tuple[Iterable[Numbered], int | None]:
        """Return those of this part but for the first, and how many that will be."""
        return pick_samples(self.feeds, self.limit, shard=self.shard, start=start)

    def numbers(self) -> Sequence[int]:
        """Return the numbers of the samples, which must be known."""
        return shard_numbers(shareable(self.feeds), self.limit, self.shard)


class Run:
    """
    A part of a calibration with the model at hand.

    Parameters
    ----------
    part : Part
        What is to be done.
    prepared : Model, optional
        What `prepare` gave for its model, if that is known.
    """

    def __init__(self, part: Part, prepared: ir.Model | None = None) -> None:
        self.part = part
        self.model = prepared or prepare(part.model, keep_existing=part.keep_existing)
        self.inputs: Sequence[Input] = inputs_of(self.model.graph)
        self.watched = find_tensors(self.model.graph, part.tensors)

    def fold(
        self,
        samples: Iterable[Numbered],
        states: States | None = None,
        folded: Folded | None = None,
    ) -> States:
        """Return the statistics of these samples, and of those before."""
        part = self.part
        if states is None and part.shard != WHOLE:
            states = {}  # of few samples, some of many parts have none
        return fold(
            self.model,
            samples,
            self.watched,
            part.kind,
            part.options,
            states=states,
            folded=folded,
        )

    @cached_property
    def digest(self) -> str:
        """What the parts of a run share: model, number of samples, options, versions.

        Not the samples themselves: no part reads those of the others.
        """
        return digest(self._shared())

    def _shared(self) -> Iterator[bytes]:
        part, used = self.part, self.part.limit
        if isinstance(part.feeds, KnownFeeds):
            used = len(shard_numbers(part.feeds, part.limit))
        kind = part.kind.__name__, sorted(part.options.items())
        yield repr((count(part.feeds), used, part.tensors, kind)).encode()
        yield of_versions()
        yield from of_model(self.model)


def fold_part(part: Part) -> States:
    """Return the statistics of a part; a worker's whole task."""
    run = Run(part)
    samples, _ = part.samples()
    return run.fold(samples)


def shards_of(run: Run, part: Part | None = None) -> Shards:
    """Return what a file of a part's statistics notes, by default of the run's own."""
    number, of = (part or run.part).shard
    return Shards(run.digest, of, (number,))


def split(part: Part, shards: int) -> list[Part]:
    """Return the parts of a whole."""
    assert part.shard == WHOLE
    return [replace(part, shard=(n, shards)) for n in range(1, shards + 1)]


def to_send(part: Part) -> Part:
    """Return a part with no more samples than it needs, to be sent elsewhere."""
    return replace(part, feeds=shareable(part.feeds).only(part.numbers()))
