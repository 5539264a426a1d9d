"""What `with_args` returns: a class of observers with some parameters set."""

from functools import partial
from typing import Any

from torch.ao.quantization.observer import _PartialWrapper


class ObserverFactory(_PartialWrapper):
    """
    A callable that makes observers, as torch.ao and torchao expect it.

    torch.ao tells it by its base class. torchao, which has a base class of its own,
    asks for its name, as if it were the class of the observers.
    """

    def __init__(self, make: partial[Any]) -> None:
        super().__init__(make)  # type: ignore[no-untyped-call]

    @property
    def __name__(self) -> str:
        """The name of the class of the observers."""
        return str(self.p.func.__name__)

    def with_args(self, **named: Any) -> "ObserverFactory":
        """Return a factory with more parameters set, or others."""
        return ObserverFactory(partial(self, **named))
