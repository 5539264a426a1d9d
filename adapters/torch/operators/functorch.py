"""Fake quantization inside `torch.func`, whose gradients know no custom operators.

What autograd is told of an operator (`torch.library.register_autograd`) holds outside
of ``torch.func.grad`` and its like alone; inside, an `autograd.Function` says it again.
"""

from typing import Any

import torch
from torch._C import _functorch

from qcore.adapters.torch.functions.calling import applied


def is_transforming() -> bool:
    """Whether this runs inside a transformation of `torch.func`, such as vmap."""
    return _functorch.peek_interpreter_stack() is not None


def transformed_fake_quantize(*inputs: Any) -> torch.Tensor:
    """Return what ``torch.ops.qcore.fake_quantize`` does, with gradients there too."""
    found: torch.Tensor = applied(_FakeQuantize, *inputs)
    return found


class _FakeQuantize(torch.autograd.Function):
    """The operator and its gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> torch.Tensor:
        found: torch.Tensor = torch.ops.qcore.fake_quantize(*inputs)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        del output
        ctx.save_for_backward(*inputs[:3])
        ctx.how = inputs[3:]

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        x, scale, zero_point = ctx.saved_tensors
        of_x, of_scale = applied(_Gradient, gradient, x, scale, zero_point, *ctx.how)
        return of_x, of_scale.to(scale.dtype), None, *(None,) * len(ctx.how)


class _Gradient(torch.autograd.Function):
    """The operator of the gradient, which has none itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*inputs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        of_x, of_scale = torch.ops.qcore.fake_quantize_backward(*inputs)
        return of_x, of_scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        del ctx, inputs, output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        del ctx, gradients
        raise RuntimeError("fake quantization must be differentiated once; got twice.")
