"""Long short-term memories that quantize the product of their gates.

A deployed cell multiplies the input and the hidden state by the weights of all gates at
once, so what is quantized is both of them together, with one scale; the weights too.
"""

from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.nn.utils.rnn import PackedSequence

from qcore.adapters.torch.nn.modules._utils import (
    Descriptor,
    QuantMixin,
    pop_place,
    pop_quant_desc_in_kwargs,
)
from qcore.adapters.torch.nn.modules.quant_lstm_cell import (
    QuantLSTMCell,
    State,
    gated,
    passes,
)
from qcore.adapters.torch.quantizer.quant_descs import (
    QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW,
)

__all__ = ["LSTM", "LSTMCell", "QuantLSTM", "QuantLSTMCell"]


class QuantLSTM(QuantMixin, nn.LSTM):
    """`torch.nn.LSTM` whose gates are products of quantized operands.

    There is a pair of quantizers for each direction of each layer, in the lists
    `_input_quantizers` and `_weight_quantizers`, layer by layer and forwards first. A
    projection is not quantized. With all quantizers disabled it is torch's own.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As of `torch.nn.LSTM`.
    proj_size
        As there.
    quant_desc_input, quant_desc_weight : QuantDescriptor, optional
        Of what enters the gates, shape ``(batch, input + hidden)``, and of its weights,
        ``(4 * hidden_size, input + hidden)``. The defaults of the class if left out: 8
        bits, weights per row.
    **kwargs
        `device` and `dtype`, as of `torch.nn.LSTM`.

    Raises
    ------
    UnknownKeywordError
        If there are other keywords; a TypeError and a KeyError.
    ValueError
        If a descriptor is not one of fake quantization, or torch refuses an argument.
    """

    default_quant_desc_weight: ClassVar[Descriptor] = (
        QUANT_DESC_8BIT_LINEAR_WEIGHT_PER_ROW
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        **kwargs: Any,
    ) -> None:
        place = pop_place(kwargs)
        descriptors = pop_quant_desc_in_kwargs(type(self), **kwargs)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            **place,
        )
        self.init_quantizer(*descriptors)
        self.to(next(self.parameters()).device)

    def _add_quantizers(
        self,
        quant_desc_input: Descriptor,
        quant_desc_weight: Descriptor,
        num_layers: int | None = None,
    ) -> None:
        """Make a pair for each direction of each layer, whatever is asked for."""
        num_layers = len(self._all_weights)
        super()._add_quantizers(quant_desc_input, quant_desc_weight, num_layers)

    def forward(  # type: ignore[override]
        self, input: torch.Tensor | PackedSequence, hx: State | None = None
    ) -> tuple[torch.Tensor | PackedSequence, State]:
        """
        Return the output of the last layer and the final states.

        Parameters
        ----------
        input : Tensor or PackedSequence
            As of `torch.nn.LSTM`.
        hx : (Tensor, Tensor), optional
            Hidden states and cell states to begin with, as there; zeros if left out.

        Raises
        ------
        RuntimeError, ValueError
            If shapes do not fit.
        """
        if all(map(passes, (*self._input_quantizers, *self._weight_quantizers))):
            return super().forward(input, hx)
        if isinstance(input, PackedSequence):
            data, sizes, order, back = input
            state = self._checked(data, hx, sizes, order)
            found, state = self._stack(data, sizes.tolist(), state)
            packed = PackedSequence(found, sizes, order, back)
            return packed, self.permute_hidden(state, back)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"LSTM: Expected input to be 2D or 3D, got {input.dim()}D instead"
            )
        if hx is not None and {h.dim() for h in hx} != {input.dim()}:
            raise RuntimeError(
                f"For {input.dim()}-D input, hx and cx should also be {input.dim()}-D "
                f"but got ({hx[0].dim()}-D, {hx[1].dim()}-D) tensors"
            )
        if input.dim() == 3:
            return self._batched(input, hx)
        axis = 0 if self.batch_first else 1
        if hx is not None:
            hx = hx[0].unsqueeze(1), hx[1].unsqueeze(1)
        output, (h, c) = self._batched(input.unsqueeze(axis), hx)
        return output.squeeze(axis), (h.squeeze(1), c.squeeze(1))

    def _batched(
        self, input: torch.Tensor, hx: State | None
    ) -> tuple[torch.Tensor, State]:
        """Run sequences of one length."""
        state = self._checked(input, hx)
        steps = input.transpose(0, 1) if self.batch_first else input
        length, batch = steps.shape[:2]
        if length == 0:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        found, state = self._stack(steps.flatten(0, 1), [batch] * length, state)
        output = found.reshape(length, batch, found.shape[-1])
        return output.transpose(0, 1) if self.batch_first else output, state

    def _checked(
        self,
        input: torch.Tensor,
        hx: State | None,
        sizes: torch.Tensor | None = None,
        order: torch.Tensor | None = None,
    ) -> State:
        """Return the states to begin with, in the order of the batch."""
        if hx is None:
            h_shape = self.get_expected_hidden_size(input, sizes)
            c_shape = self.get_expected_cell_size(input, sizes)
            hx = input.new_zeros(h_shape), input.new_zeros(c_shape)
        else:
            hx = self.permute_hidden(hx, order)
        self.check_forward_args(input, hx, sizes)
        return hx

    def _stack(
        self, data: torch.Tensor, sizes: list[int], state: State
    ) -> tuple[torch.Tensor, State]:
        """Run all layers on steps that lie behind each other along axis 0."""
        directions = 2 if self.bidirectional else 1
        ends = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                data = F.dropout(data, self.dropout, self.training)
            outputs = []
            for i in range(layer * directions, (layer + 1) * directions):
                start = state[0][i], state[1][i]
                output, end = self._recur(i, torch.split(data, sizes), start)
                outputs.append(output)
                ends.append(end)
            data = torch.cat(outputs, -1)
        hidden, cells = zip(*ends, strict=True)
        return data, (torch.stack(hidden), torch.stack(cells))

    def _recur(
        self, index: int, steps: tuple[torch.Tensor, ...], state: State
    ) -> tuple[torch.Tensor, State]:
        """Run one direction of one layer; steps may hold fewer rows than the batch."""
        w_ih, w_hh, *others = self.all_weights[index]
        weight = self._weight_quantizers[index](torch.cat([w_ih, w_hh], 1))
        bias = others[0] + others[1] if self.bias else None
        projection = others[-1] if self.proj_size else None
        is_reverse = self.bidirectional and index % 2 == 1
        h, c = state
        outputs = []
        for step in reversed(steps) if is_reverse else steps:
            rows = len(step)
            operand = self._input_quantizers[index](torch.cat([step, h[:rows]], 1))
            now, cell = gated(operand, c[:rows], weight, bias)
            now = now if projection is None else F.linear(now, projection)
            outputs.append(now)
            h, c = torch.cat([now, h[rows:]]), torch.cat([cell, c[rows:]])
        return torch.cat(outputs[::-1] if is_reverse else outputs), (h, c)


LSTM = QuantLSTM
LSTMCell = QuantLSTMCell
