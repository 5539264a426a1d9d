"""One step of a long short-term memory, its gates products of quantized operands."""

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from qcore.adapters.torch.nn.modules._utils import (
    Descriptor,
    QuantMixin,
    pop_place,
    pop_quant_desc_in_kwargs,
)
from qcore.adapters.torch.quantizer.quant_descs import (
    QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW,
)

State = tuple[torch.Tensor, torch.Tensor]
"""Hidden state and cell state."""


class QuantLSTMCell(QuantMixin, nn.LSTMCell):
    """`torch.nn.LSTMCell` whose gates are products of quantized operands.

    With both quantizers disabled it is torch's own.

    Parameters
    ----------
    input_size, hidden_size, bias
        As of `torch.nn.LSTMCell`.
    quant_desc_input, quant_desc_weight : QuantDescriptor, optional
        As of `QuantLSTM`.
    **kwargs
        `device` and `dtype`, as of `torch.nn.LSTMCell`.

    Raises
    ------
    UnknownKeywordError, ValueError
        As `QuantLSTM`.
    """

    default_quant_desc_weight: ClassVar[Descriptor] = (
        QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW
    )

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, **kwargs: Any
    ) -> None:
        place = pop_place(kwargs)
        descriptors = pop_quant_desc_in_kwargs(type(self), **kwargs)
        super().__init__(input_size, hidden_size, bias, **place)
        self.init_quantizer(*descriptors)
        self.to(self.weight_ih.device)

    def forward(self, input: torch.Tensor, hx: State | None = None) -> State:
        """
        Return hidden state and cell state after one step.

        Parameters
        ----------
        input : Tensor
            As of `torch.nn.LSTMCell`.
        hx : (Tensor, Tensor), optional
            The states before, as there; zeros if left out.

        Raises
        ------
        RuntimeError, ValueError
            If shapes do not fit.
        """
        if passes(self._input_quantizer) and passes(self._weight_quantizer):
            return super().forward(input, hx)
        if input.dim() not in (1, 2):
            raise ValueError(
                f"LSTMCell: Expected input to be 1D or 2D, got {input.dim()}D instead"
            )
        shape = (*input.shape[:-1], self.hidden_size)
        if hx is None:
            hx = input.new_zeros(shape), input.new_zeros(shape)
        if input.shape[-1] != self.input_size or any(h.shape != shape for h in hx):
            raise RuntimeError(
                f"`input` must have {self.input_size} features and both of `hx` the "
                f"shape {shape}; got {tuple(input.shape)}, {tuple(hx[0].shape)} and "
                f"{tuple(hx[1].shape)}."
            )
        weight = self._weight_quantizer(torch.cat([self.weight_ih, self.weight_hh], 1))
        operand = torch.cat([input, hx[0]], -1).reshape(-1, weight.shape[1])
        bias = self.bias_ih + self.bias_hh if self.bias else None
        h, c = gated(self._input_quantizer(operand), hx[1], weight, bias)
        return h.reshape(shape), c.reshape(shape)


def gated(
    operand: torch.Tensor,
    cell: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    /,
) -> State:
    """Return the states after one step of rows of input and hidden state."""
    entry, forget, new, out = F.linear(operand, weight, bias).chunk(4, 1)
    cell = forget.sigmoid() * cell + entry.sigmoid() * new.tanh()
    return out.sigmoid() * cell.tanh(), cell


def passes(quantizer: nn.Module, /) -> bool:
    """Return whether tensors pass a quantizer as they are."""
    is_enabled = getattr(quantizer, "is_enabled", True)
    return not is_enabled and quantizer.pre_quant_scale is None
