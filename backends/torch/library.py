"""PyTorch: counting by its own operators, states as pytrees."""

from collections.abc import Callable
from typing import Any

import torch
from torch._subclasses import FakeTensor
from torch.autograd.forward_ad import unpack_dual
from torch.utils import _pytree
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from qcore.arithmetic import divide
from qcore.libraries import Library, register_library
from qcore.spec import QParams
from qcore.statistics import Gram, Histogram, Moments, MovingRange, Range, Top2
from qcore.statistics.tally import count
from qcore.transfer import to_host

NAME = "torch"
PLAIN = torch.Tensor, torch.nn.Parameter
"""Other classes of tensors may hold their values elsewhere."""


_parts_of: Callable[[torch.Tensor], Any] = unpack_dual


def _is_concrete(x: Any) -> bool:
    if torch.compiler.is_compiling() or isinstance(x, FakeTensor):
        return False
    is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    return not (isinstance(x, torch.Tensor) and (x.is_meta or is_wrapped(x)))


def unplain(*arguments: object) -> str | None:
    """Return why the memory of a tensor is out of a kernel's reach, on any device.

    Parameters
    ----------
    *arguments : object
        Of a kernel; what is no tensor is ignored.

    Returns
    -------
    str or None
        The reason to decline, or None if there is none.
    """
    is_traced = torch._C._get_tracing_state() is not None
    if is_traced or is_in_torch_dispatch_mode():
        return "PyTorch records the operators of the portable function"
    for x in arguments:
        if not isinstance(x, torch.Tensor):
            continue
        if torch._C._functorch.is_functorch_wrapped_tensor(x):
            return "the tensor is part of a transformed function"
        if type(x) not in PLAIN or x.layout != torch.strided or x.is_neg():
            return "the tensor is not plain memory"
        is_followed = x.requires_grad and torch.is_grad_enabled()
        if is_followed or _parts_of(x).tangent is not None:
            return "autograd follows the portable function alone"
    return None


register_library(NAME, Library(is_concrete=_is_concrete, detached=lambda x: x.detach()))


def _register(cls: type, arrays: tuple[str, ...], constants: tuple[str, ...]) -> None:
    def flatten(state: Any) -> tuple[list[Any], tuple[Any, ...]]:
        held = tuple(a for a in arrays if getattr(state, a) is not None)
        settings = tuple(getattr(state, c) for c in constants)
        return [getattr(state, a) for a in held], (held, settings)

    def unflatten(leaves: Any, context: Any) -> Any:
        held, settings = context
        return cls(
            **dict(zip(held, leaves, strict=True)),
            **dict(zip(constants, settings, strict=True)),
        )

    _pytree.register_pytree_node(
        cls, flatten, unflatten, serialized_type_name=f"qcore.{cls.__name__}"
    )


for state in (Histogram, Range, MovingRange, Moments, Top2, Gram):
    _register(state, state.array_fields(), state.static_fields())
_register(QParams, ("scale", "zero_point", "global_scale"), ("spec",))


@count.accelerate(NAME)
def _(
    index: torch.Tensor, weights: torch.Tensor | None, length: int, /
) -> torch.Tensor:
    if weights is None:
        return torch.bincount(index, minlength=length + 1)[:length]
    total = torch.zeros(length + 1, dtype=torch.int64, device=index.device)
    return total.scatter_add_(0, index, weights)[:length]


@divide.accelerate(NAME)
def _(x: torch.Tensor, scale: torch.Tensor, /) -> torch.Tensor:
    return x / scale  # two tensors on one device divide truly


@to_host.accelerate(NAME)
def _(x: torch.Tensor, /) -> Any:
    return x.detach().cpu().numpy()
