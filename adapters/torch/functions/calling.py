"""How the functions of pytorch-quantization may be called, then as now.

Its documentation and its source order the arguments differently, and its functions were
the ``apply`` of autograd functions: positional, tensors alone. Keywords and numbers are
our addition.
"""

from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

import torch
from array_api_compat import torch as xp

from qcore.adapters.torch.given_data import check_tensor
from qcore.arithmetic import check_floating
from qcore.clipping import gradient_within
from qcore.libraries import load_backends

load_backends("torch")  # which cannot be done while compiling

PublicFunction = TypeVar("PublicFunction", bound=Callable[..., Any])


class Settings(TypedDict, total=False):
    """What the functions take by keyword, beside `num_bits`."""

    output_dtype: torch.dtype
    unsigned: bool
    narrow_range: bool


_Resolved = tuple[torch.dtype | None, bool, bool]


DOCUMENTED = ("output_dtype", "unsigned", "narrow_range")
IN_SOURCE = ("unsigned", "narrow_range", "output_dtype")
"""The two orders."""


def resolved(*given: Any, **named: Any) -> _Resolved:
    """Return output dtype, unsigned and narrow range, whichever order is followed.

    None is a place left empty.
    """
    placed = [setting for setting in given if setting is not None]
    is_source = bool(placed) and isinstance(placed[0], bool)
    order = IN_SOURCE if is_source else DOCUMENTED
    settings = {**dict(zip(order, placed, strict=False)), **named}
    is_each_once = len(settings) == len(placed) + len(named)
    if not is_each_once or not settings.keys() <= set(order):
        raise TypeError(
            f"after `num_bits` come {', '.join(DOCUMENTED)}, each once; got "
            f"{', '.join([*map(str, placed), *named])}."
        )
    output_dtype = settings.get("output_dtype")
    if output_dtype not in (None, torch.float32, torch.int32):
        raise ValueError(
            f"`output_dtype` must be torch.float32 or torch.int32; got {output_dtype}."
        )
    flags = settings.get("unsigned", False), settings.get("narrow_range", True)
    return output_dtype, *flags


def with_apply(
    function: type[torch.autograd.Function],
) -> Callable[[PublicFunction], PublicFunction]:
    """Return a decorator that gives a function the `apply` of a class."""

    def give(public: PublicFunction) -> PublicFunction:
        vars(public)["apply"] = function.apply
        return public

    return give


def applied(function: type[torch.autograd.Function], *given: Any) -> Any:
    """Return what ``function.apply`` does, which PyTorch leaves without types."""
    return function.apply(*given)  # type: ignore[no-untyped-call]


def gradients_within(
    ctx: Any, gradient: torch.Tensor, inputs: torch.Tensor, low: Any, high: Any, /
) -> tuple[torch.Tensor | None, ...]:
    """Return the gradients of all arguments of a function: None but for the inputs.

    That passes straight through where ``low <= inputs <= high``.
    """
    of_inputs = gradient_within(gradient, inputs, low, high, xp=xp)
    return of_inputs, *(None,) * (len(ctx.needs_input_grad) - 1)


def as_tensor(value: Any, inputs: torch.Tensor, /) -> torch.Tensor:
    """Return a number, or a tensor of numbers, as a float tensor beside the inputs."""
    check_tensor(inputs, "inputs")
    check_floating(inputs)
    if isinstance(value, torch.Tensor):
        check_tensor(value, "bound", has_values=not inputs.is_meta)
        if value.is_floating_point():
            return value.to(inputs.device)
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    try:
        return torch.as_tensor(value, dtype=dtype, device=inputs.device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"a bound must be a number or a tensor; got {value!r}."
        ) from None
