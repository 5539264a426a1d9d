"""PyTorch: CUDA C for tensors on a CUDA device, by way of NVIDIA's cuda-bindings.

cuda-bindings is imported by the first call with a tensor on such a device.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from importlib import import_module
from typing import Any

import torch

from qcore import affine
from qcore import gradient as portable_gradient
from qcore.backends.cuda import gradient, kernels, rounding
from qcore.backends.cuda import regrid as regridding
from qcore.backends.cuda import tally as tallying
from qcore.backends.cuda.device import Argument, Kind, offsets
from qcore.backends.cuda.source import Program
from qcore.backends.found import is_found
from qcore.backends.torch import search_solve
from qcore.backends.torch.library import NAME, unplain
from qcore.kernels import Declined, declined
from qcore.methods.solve import solve
from qcore.statistics import tally as portable


@cache
def _driver() -> Any:
    """Return the driver and NVRTC, or why there is none."""
    try:
        driver = import_module("qcore.backends.cuda.driver")
    except ImportError as error:  # such as of a version that Python is too new for
        return declined(f"cuda-bindings cannot be imported: {error}")
    return driver if driver.has_compiler() else declined("NVRTC is not installed")


class TorchDevice:
    """A `Device`: memory of PyTorch, launches by the driver on PyTorch's stream."""

    def __init__(self, ordinal: int) -> None:
        self.ordinal = ordinal
        self.device = torch.device("cuda", ordinal)
        facts = _driver().facts(ordinal)
        self.multiprocessors = facts.multiprocessors
        self.threads = facts.threads
        self.shared = facts.shared
        self.shared_of_block = facts.shared_of_block

    def empty(self, kind: Kind, /) -> torch.Tensor:
        """Return an array of any content."""
        shape, dtype = kind
        return torch.empty(shape, dtype=getattr(torch, dtype), device=self.device)

    def zeros(self, kinds: Sequence[Kind], /) -> list[torch.Tensor]:
        """Return zeroed arrays in one piece of memory."""
        places, total = offsets(kinds)
        memory = torch.zeros(total, dtype=torch.uint8, device=self.device)
        return [
            memory[begin:end].view(_dtype(dtype)).view(shape)
            for (begin, end), (shape, dtype) in zip(places, kinds, strict=True)
        ]

    def numbers(self, values: tuple[float, ...], /) -> torch.Tensor:
        """Return float64 numbers, there when this returns."""
        return torch.tensor(values, dtype=torch.float64, device=self.device)

    def pointer(self, array: torch.Tensor, /) -> int:
        """Return the address of an array."""
        return array.data_ptr()

    def launch(
        self,
        program: Program,
        kernel: str,
        grid: int,
        block: int,
        shared: int,
        arguments: Sequence[Argument],
        /,
    ) -> None:
        """Launch a kernel on the current stream."""
        stream = torch.cuda.current_stream(self.device).cuda_stream
        _driver().launch(
            self.ordinal, stream, program, kernel, grid, block, shared, arguments
        )


def _dtype(name: str) -> torch.dtype:
    found: torch.dtype = getattr(torch, "int32" if name == "uint32" else name)
    return found


device_of = cache(TorchDevice)


def on_device(function: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
    """Call a function of launches on the device of the first argument, or decline."""
    x = given[0]
    if x.device.type != "cuda" or torch.version.cuda is None:  # AMD's say so too
        return declined("not on a CUDA device")
    every = (*given, *named.values())
    if any(isinstance(y, torch.Tensor) and y.device != x.device for y in every):
        return declined("on several devices")
    reason = unplain(*every)
    if reason is not None:
        return declined(reason)
    if isinstance(_driver(), Declined):
        return _driver()
    with torch.cuda.device(x.device), torch.no_grad():
        options = {name: _contiguous(y) for name, y in named.items()}
        device = device_of(x.device.index)
        return function(device, *map(_contiguous, given), **options)


def _contiguous(x: Any) -> Any:
    return x.contiguous() if isinstance(x, torch.Tensor) else x


_served = partial(kernels.native, on_device=on_device, source=__name__)

tally = portable.tally.accelerate(NAME)(_served(tallying.tally))
regrid = portable.regrid.accelerate(NAME)(_served(regridding.regrid))
quantize_data = _served(rounding.quantize)
fake_quantize_data = _served(rounding.fake_quantize)
fake_quantize_gradient = _served(gradient.fake_quantize_gradient)


def _solve(low: torch.Tensor, *given: Any) -> Any:
    if low.device.type != "cuda" or torch.version.cuda is None:
        return declined("not on a CUDA device")
    if isinstance(_driver(), Declined):  # the portable way takes less memory
        return _driver()
    return search_solve.solve(low, *given)


# Triton's kernels are as fast and take more layouts of scales: beside them these would
# only be asked first and decline more.
if not is_found("triton"):
    affine.quantize_data.accelerate(NAME)(quantize_data)
    affine.fake_quantize_data.accelerate(NAME)(fake_quantize_data)
    portable_gradient.fake_quantize_gradient.accelerate(NAME)(fake_quantize_gradient)
    solve.accelerate(NAME)(_solve)
    kernels.register(NAME, on_device)
