"""QuantizeLinear and DequantizeLinear of ONNX, written while a model is exported."""

import warnings
from typing import Any

import torch
from array_api_compat import torch as xp
from torch import nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from qcore.adapters.onnx_formats import (
    BLOCKS,
    OnnxType,
    limits_of,
    opset_of,
    type_of,
)
from qcore.adapters.torch.operators.fake_quantize import fake_quantize
from qcore.affine import steps_of
from qcore.errors import QuantError
from qcore.formats import IntFormat
from qcore.granularity import PerBlock
from qcore.spec import QParams

Attributes = dict[str, Any]
"""Of a node, whole numbers all."""

_FLOAT = 1  # of onnx.TensorProto.DataType

_DTYPES = {
    "uint8": torch.uint8,
    "int8": torch.int8,
    "uint16": torch.uint16,
    "int16": torch.int16,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}
"""What holds the numbers of types in PyTorch, where there is something."""


def quantize_dequantize(x: torch.Tensor, qparams: QParams, /) -> torch.Tensor:
    """
    Return `x` quantized and dequantized, by operators of ONNX while it is exported.

    Parameters
    ----------
    x : Tensor
        Floating-point data of any shape.
    qparams : QParams
        As for `fake_quantize`.

    Returns
    -------
    Tensor
        Of the shape and dtype of `x`.

    Raises
    ------
    QuantError
        If ONNX cannot say it.
    """
    if not is_exporting():
        return fake_quantize(x, qparams)
    with warnings.catch_warnings():
        # A trace of TorchScript warns of every look at the shape of a constant.
        warnings.simplefilter("ignore", TracerWarning)
        # No call: a trace wants to know where in the model a module is.
        return QuantizeDequantize(qparams).forward(x)


class QuantizeDequantize(nn.Module):
    """The two operators, and their scales and zero points as ONNX has them.

    Parameters
    ----------
    qparams : QParams
        Scales that align with the last axes of the data.
    saturates : bool, optional
        Whether data may lie beyond the codes of a format that does not use all codes of
        its type, such as a narrow one. It is clipped before, which is left out
        otherwise.

    Raises
    ------
    QuantError
        If ONNX cannot say it.
    """

    scale: torch.Tensor
    zero_point: torch.Tensor | None
    lowest: torch.Tensor | None
    highest: torch.Tensor | None

    def __init__(self, qparams: QParams, *, saturates: bool = True) -> None:
        super().__init__()
        self.qparams = qparams
        self.opset = opset_of(qparams)
        self.kind = type_of(qparams.spec.format)
        self._axis: int | None = None
        several = qparams.scale.numel() > 1
        self._block = several and isinstance(qparams.spec.granularity, PerBlock)
        if several and not self._block:
            shape = qparams.scale.shape
            kept = next(i for i, n in enumerate(shape) if n != 1)
            self._axis = kept - len(shape)
        self._hold("scale", self._flat(qparams.scale.detach()))
        self._hold("zero_point", self._zero_point())
        ends = limits_of(qparams.spec.format) if saturates else (None, None)
        for name, end in zip(("lowest", "highest"), ends, strict=True):
            self._hold(name, self._real(end))

    def _hold(self, name: str, value: torch.Tensor | None) -> None:
        # TorchScript merges equal entries of a state dict through a node.
        self.register_buffer(name, value, persistent=False)

    def _flat(self, x: torch.Tensor) -> torch.Tensor:
        """Return scales or zero points in the shape that ONNX wants."""
        if self._block:
            return x
        return x.reshape(() if self._axis is None else (-1,))

    def _zero_point(self) -> torch.Tensor | None:
        """Return zero points in the type of codes; None where it need not tell that."""
        spec = self.qparams.spec
        if spec.symmetric and self.opset >= BLOCKS:
            return None
        flat = self._flat(self.qparams.zero_point)
        storage = getattr(torch, spec.format.storage)
        return flat.to(_DTYPES.get(self.kind.name, storage))

    def _real(self, code: int | None) -> torch.Tensor | None:
        """Return what a code stands for, in the shape of the scales."""
        fmt, scale = self.qparams.spec.format, self.qparams.scale.detach()
        if code is None:
            return None
        assert isinstance(fmt, IntFormat)
        codes = torch.full_like(scale, code)
        steps = steps_of(codes, self.qparams.zero_point, fmt, xp=xp)
        real: torch.Tensor = steps * scale
        return real if self._axis is not None or self._block else real.reshape(())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` quantized and dequantized, of its dtype."""
        if not is_exporting():
            return fake_quantize(x, self.qparams)
        data = self._clipped(x if x.dtype == torch.float32 else x.to(torch.float32))
        attributes = self._attributes(x)
        if torch.compiler.is_exporting():
            real = _symbolic(data, self.scale, self.zero_point, self.kind, attributes)
        else:
            real = _traced(data, self, attributes)
        return real if x.dtype == torch.float32 else real.to(x.dtype)

    def _clipped(self, x: torch.Tensor) -> torch.Tensor:
        """Return data that no code of the type beyond those of the format is for."""
        ends = self.lowest, self.highest
        if ends[0] is None and ends[1] is None:
            return x
        if self._axis is None and not self._block and torch.compiler.is_exporting():
            # Not Max and Min: onnxscript 0.7 merges them to this, and names clash.
            return torch.onnx.ops.symbolic(
                "Clip", [x, *ends], dtype=_FLOAT, shape=x.shape
            )
        for end, clip in zip(ends, (torch.maximum, torch.minimum), strict=True):
            if end is not None:
                x = clip(x, self._aligned(end, x))
        return x

    def _aligned(self, end: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return numbers that belong to scales in a shape that broadcasts to data."""
        if not self._block:
            return end
        expand = self.qparams.spec.granularity.expand
        spread: torch.Tensor = expand(end, tuple(x.shape), xp=xp)
        return spread

    def _attributes(self, x: torch.Tensor) -> Attributes:
        """Return what both operators say of the axis."""
        blocks = self.qparams.spec.granularity
        if self._block and isinstance(blocks, PerBlock):
            if x.ndim != self.scale.ndim:
                raise QuantError(
                    f"scales of blocks must have the rank of the data, {x.ndim}, to be "
                    f"exported; got the shape {tuple(self.scale.shape)}."
                )
            return {"axis": blocks.axis % x.ndim, "block_size": blocks.size}
        return {} if self._axis is None else {"axis": x.ndim + self._axis}


def is_exporting() -> bool:
    """Return whether an exporter runs the model, be it `torch.export`."""
    return torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()


def _symbolic(
    x: torch.Tensor,
    scale: torch.Tensor,
    zero_point: torch.Tensor | None,
    kind: OnnxType,
    attributes: Attributes,
) -> torch.Tensor:
    """Return the result of operators as the exporter of `torch.export` knows them."""
    shape = codes_shape = list(x.shape)
    if kind.name == "float4_e2m1fn":  # one element of PyTorch's dtype is two numbers
        if x.ndim == 0 or x.shape[-1] % 2:
            raise QuantError(
                "the last axis of data in float4_e2m1fn must be even to be exported; "
                f"got the shape {tuple(x.shape)}."
            )
        codes_shape = [*shape[:-1], shape[-1] // 2]
    of_codes = dict(attributes)
    if zero_point is None:
        of_codes["output_dtype"] = kind.number
        grid = [scale]
    else:
        if kind.name not in _DTYPES:
            zero_point = torch.onnx.ops.symbolic(
                "Cast",
                [zero_point],
                {"to": kind.number},
                dtype=kind.number,
                shape=zero_point.shape,
            )
        grid = [scale, zero_point]
    codes = torch.onnx.ops.symbolic(
        "QuantizeLinear", [x, *grid], of_codes, dtype=kind.number, shape=codes_shape
    )
    return torch.onnx.ops.symbolic(
        "DequantizeLinear", [codes, *grid], attributes, dtype=_FLOAT, shape=shape
    )


def _traced(
    x: torch.Tensor, operators: QuantizeDequantize, attributes: Attributes
) -> torch.Tensor:
    """Return the result of operators as the exporter of TorchScript knows them."""
    if operators.opset >= BLOCKS:
        raise QuantError(
            f"`dynamo` must be true to export {operators.kind.name} or blocks, which "
            f"need opset {operators.opset}: the TorchScript exporter lacks it."
        )
    held = operators.qparams
    return _Traced.apply(  # type: ignore[no-untyped-call, no-any-return]
        x,
        operators.scale,
        operators.zero_point,
        held.scale,
        held.zero_point,
        held.spec,
        attributes,
    )


class _Traced(torch.autograd.Function):
    """Fake quantization, which TorchScript writes as two operators."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, *given: Any) -> torch.Tensor:
        del ctx
        *_, scale, zero_point, spec, _ = given  # a trace knows what is passed alone
        return fake_quantize(x.detach(), QParams(scale, zero_point, spec))

    @staticmethod
    def symbolic(g: Any, x: Any, scale: Any, zero_point: Any, *given: Any) -> Any:
        """Return the value in a graph of TorchScript."""
        attributes = {f"{name}_i": value for name, value in given[-1].items()}
        codes = g.op("QuantizeLinear", x, scale, zero_point, **attributes)
        real = g.op("DequantizeLinear", codes, scale, zero_point, **attributes)
        real.setType(x.type())  # else the weights of a convolution have no known shape
        return real
