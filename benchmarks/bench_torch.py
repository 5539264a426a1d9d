"""What quantizers cost in PyTorch, beside PyTorch's own fake quantization.

Forward, and forward with backward, of 2^24 float32 on one thread; a quantizer that is
disabled; a whole network. Each pair of rows is timed in turns, the best of several.
"""

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from bench_cpu import limited
from record import record
from torch import nn
from torch.ao.quantization import HistogramObserver, MinMaxObserver

import qcore
from qcore.adapters.torch.nn import TensorQuantizer
from qcore.adapters.torch.operators.fake_quantize import fake_quantize
from qcore.adapters.torch.tensor_quant import QuantDescriptor

SIZE = 1 << 24
ROUNDS = 15
SCALE = 0.05


def best(*functions: Callable[[], object], calls: int = 1) -> list[float]:
    """Return the least seconds a call of each function, timed in turns."""
    for function in functions:
        function()
    times = [float("inf")] * len(functions)
    for _ in range(ROUNDS):
        for i, function in enumerate(functions):
            begin = perf_counter()
            for _ in range(calls):
                function()
            times[i] = min(times[i], (perf_counter() - begin) / calls)
    return times


def rounding(x: torch.Tensor, channels: int) -> tuple[Callable[..., torch.Tensor], ...]:
    """Return our fake quantization and PyTorch's, per tensor or per channel."""
    zero = torch.zeros((), dtype=torch.int32)
    if channels == 1:
        qparams = qcore.QParams(torch.tensor(SCALE), zero, qcore.QuantSpec())
        theirs = torch.fake_quantize_per_tensor_affine
        return (
            lambda: fake_quantize(x, qparams),
            lambda: theirs(x, SCALE, 0, -128, 127),
        )
    scale = torch.linspace(SCALE, 2 * SCALE, channels)
    zeros = torch.zeros(channels, dtype=torch.int32)
    qparams = qcore.QParams(
        scale[:, None], zeros[:, None], qcore.QuantSpec("int8", qcore.PerChannel(0))
    )
    by_channel = torch.fake_quantize_per_channel_affine
    return (
        lambda: fake_quantize(x, qparams),
        lambda: by_channel(x, scale, zeros, 0, -128, 127),
    )


def with_backward(
    function: Callable[..., torch.Tensor], x: torch.Tensor, gradient: torch.Tensor
) -> Callable[[], None]:
    """Return a function that computes the gradient of `x` too."""

    def run() -> None:
        x.grad = None
        function().backward(gradient)

    return run


def elementwise() -> list[dict[str, Any]]:
    """Return rows of ns an element."""
    rows = []
    for channels in (1, 1024):
        x = torch.randn(channels, SIZE // channels)
        if channels == 1:
            x = x.reshape(-1)
        gradient = torch.randn_like(x)
        pairs = {"forward": rounding(x, channels)}
        leaf = x.clone().requires_grad_()
        pairs["forward and backward"] = tuple(
            with_backward(f, leaf, gradient) for f in rounding(leaf, channels)
        )
        for what, functions in pairs.items():
            ours, theirs = (s / SIZE * 1e9 for s in best(*functions))
            shared = "per tensor" if channels == 1 else f"{channels} channels"
            row = {"what": f"{what}, {shared}", "ours": ours, "torch": theirs}
            rows.append({**row, "unit": "ns"})
    return rows


def overheads() -> list[dict[str, Any]]:
    """Return rows of what a call costs whatever the size."""
    x = torch.randn(8)
    disabled, enabled = TensorQuantizer(disabled=True), TensorQuantizer()
    enabled.amax = 1.0
    identity = nn.Identity()
    seconds = best(
        lambda: disabled(x),
        lambda: identity(x),
        lambda: enabled(x),
        lambda: torch.fake_quantize_per_tensor_affine(x, SCALE, 0, -128, 127),
        calls=2000,
    )
    off, nothing, on, theirs = (s * 1e6 for s in seconds)
    return [
        {"what": "disabled / nn.Identity", "ours": off, "torch": nothing, "unit": "us"},
        {"what": "8 elements", "ours": on, "torch": theirs, "unit": "us"},
    ]


def calibration() -> list[dict[str, Any]]:
    """Return rows of what collecting costs beside PyTorch's observers."""
    x = torch.randn(SIZE // 16)
    rows = []
    for method, observer in (("max", MinMaxObserver), ("mse", HistogramObserver)):
        quantizer = TensorQuantizer(
            QuantDescriptor(calib_method=method), if_quant=False, if_calib=True
        )
        watching = observer()
        ours, theirs = best(lambda: quantizer(x), lambda: watching(x))  # noqa: B023
        what = f"collecting for {method}, beside {observer.__name__}"
        ours, theirs = (s / x.numel() * 1e9 for s in (ours, theirs))
        rows.append({"what": what, "ours": ours, "torch": theirs, "unit": "ns"})
    return rows


def main() -> None:
    """Print all rows with the ratio, and keep them."""
    torch.set_num_threads(1)
    with limited(1):
        rows = [*elementwise(), *overheads(), *calibration()]
    for row in rows:
        row["torch / ours"] = row["torch"] / row["ours"]
    record("torch", rows)


if __name__ == "__main__":
    sys.exit(main())
