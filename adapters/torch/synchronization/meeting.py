"""What all processes of torch.distributed do together, none of them waiting for ever.

They meet in the group's key-value store, which serves every backend and, unlike a
collective, can tell who has not come.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Self

import torch
from torch import distributed

_EVERYBODY = "all"
_GRACE = 2.0
"""Seconds to ask who is gone when a collective failed: clocks start a little apart."""
_LONGEST_NAP = 0.1


def is_distributed() -> bool:
    """Whether torch.distributed was initialised."""
    return distributed.is_available() and distributed.is_initialized()


class Meeting:
    """One call that every process of a group makes; a context manager.

    Parameters
    ----------
    call : str
        What the processes call, for messages.
    group : ProcessGroup, optional
        All processes by default.
    timeout : float
        Seconds to wait for the last process; then, for the collectives.

    Attributes
    ----------
    ranks : list of int
        Of the members, in the order of the group; those of the whole world.
    device : device
        Where tensors must be for the group's collectives.

    Raises
    ------
    ValueError
        If this process is no member, or the timeout not positive.
    """

    def __init__(
        self, call: str, group: distributed.ProcessGroup | None, *, timeout: float
    ) -> None:
        if not timeout > 0:
            raise ValueError(f"`timeout` must be positive seconds; got {timeout!r}.")
        world = distributed.group.WORLD
        chosen = world if group is None else group
        if chosen is None or distributed.get_rank(chosen) < 0:
            raise ValueError("`group` must hold this process; it is no member.")
        self.ranks = distributed.get_process_group_ranks(chosen)
        self.device = _device(chosen)
        self._group = chosen
        self._call = call
        self._timeout = timeout
        self._deadline = monotonic() + timeout
        self._rank = distributed.get_rank()
        self._store = chosen.get_group_store()
        self._number = self._store.add(f"qcore/calls/{self._rank}", 1)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell the others that this process waits no longer."""
        with suppress(distributed.DistNetworkError):
            self._store.set(self._key("left", self._rank), "")

    def exchange(self, message: Any, /) -> list[Any]:
        """
        Return the messages of all processes, in the order of `ranks`.

        Parameters
        ----------
        message : plain data
            What JSON can hold.

        Raises
        ------
        TimeoutError
            In every process, if one did not come in time; it is named.
        ConnectionError
            If the process that keeps the store has ended.
        """
        with _reaching_the_store():
            return self._exchange(json.dumps(message))

    def _exchange(self, message: str) -> list[Any]:
        self._store.set(self._key("said", self._rank), message)
        missing = self._missing("said", self._deadline)
        # Who comes first decides for everybody, so that none goes on alone: not the
        # process that came just as another gave up, nor one that comes much later.
        verdict = self._store.compare_set(
            self._key("verdict"), "", _named(missing) if missing else _EVERYBODY
        ).decode()
        if verdict != _EVERYBODY:
            raise TimeoutError(self._blame(verdict))
        said = [self._store.get(self._key("said", rank)) for rank in self.ranks]
        self._forget_last_call()
        self._deadline = monotonic() + self._timeout
        return [json.loads(text) for text in said]

    def all_reduce(
        self, tensors: Sequence[torch.Tensor], op: "distributed.ReduceOp.RedOpType", /
    ) -> list[torch.Tensor]:
        """
        Return tensors reduced over all processes, by one collective.

        Parameters
        ----------
        tensors : sequence of Tensor
            On `device`, at least one, of one dtype, of equal shapes in all processes.
        op : ReduceOp
            What to do.

        Raises
        ------
        TimeoutError
            If a process ended or did not come in time; it is named.
        ConnectionError
            If that is the process that keeps the store.
        RuntimeError
            If the collective failed though every process was there.
        """
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        if flat.numel():
            self._reduce(flat, op)
        pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
        return [
            piece.view(tensor.shape)
            for piece, tensor in zip(pieces, tensors, strict=True)
        ]

    def _reduce(self, flat: torch.Tensor, op: "distributed.ReduceOp.RedOpType") -> None:
        left = timedelta(seconds=max(self._deadline - monotonic(), 0.001))
        options = distributed.AllreduceOptions()
        options.reduceOp = op  # type: ignore[assignment]
        options.timeout = left
        try:
            # Not `distributed.all_reduce`, which has no timeout: Gloo would hold its
            # thread, and with it the end of the process, for that of the group.
            self._group.allreduce([flat], options).wait(left)
        except RuntimeError as error:
            with _reaching_the_store():
                self._store.set(self._key("left", self._rank), "")
                missing = self._missing("left", self._deadline + _GRACE)
            if missing:
                raise TimeoutError(self._blame(_named(missing))) from error
            raise

    def _missing(self, what: str, deadline: float) -> list[int]:
        """Return the ranks that have not left a key, waiting for them until then."""
        waiting, nap = list(self.ranks), 0.001
        while True:
            waiting = [
                rank
                for rank in waiting
                if not self._store.check([self._key(what, rank)])
            ]
            if not waiting or monotonic() >= deadline:
                return waiting
            sleep(nap)
            nap = min(2 * nap, _LONGEST_NAP)

    def _forget_last_call(self) -> None:
        """Delete the keys of the call before, which is behind every process."""
        for what in ("said", "left"):
            self._store.delete_key(self._key(what, self._rank, calls_ago=1))
        if self._rank == self.ranks[0]:
            self._store.delete_key(self._key("verdict", calls_ago=1))

    def _key(self, what: str, rank: int | None = None, *, calls_ago: int = 0) -> str:
        who = "" if rank is None else f"/{rank}"
        return f"qcore/{self._number - calls_ago}/{what}{who}"

    def _blame(self, who: str) -> str:
        return (
            f"every process must call {self._call}, and stay until it ends, within "
            f"{self._timeout:g} s; {who} did not."
        )


@contextmanager
def _reaching_the_store() -> Iterator[None]:
    """Say what it means that the store cannot be reached."""
    try:
        yield
    except distributed.DistNetworkError as error:
        raise ConnectionError(
            "the store of torch.distributed must be there; the process that keeps it, "
            "rank 0 unless torchrun does, has ended."
        ) from error


def _named(ranks: Iterable[int]) -> str:
    names = [str(rank) for rank in ranks]
    return f"rank{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _device(group: distributed.ProcessGroup) -> torch.device:
    """Return where tensors must be: on the host if the group serves it."""
    config = distributed.get_backend_config(group)
    kinds = [part.partition(":")[0] for part in config.split(",")]
    if "cpu" in kinds:
        return torch.device("cpu")
    return torch.device(kinds[0], torch.accelerator.current_device_index())
