"""Compile by NVRTC and launch by the driver, with raw pointers on a given stream.

For libraries that have no way of their own to launch CUDA C. Both are asked through
NVIDIA's package cuda-bindings; importing this touches no device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cuda.bindings import driver, nvrtc

from qcore.backends.cuda.device import Argument, pack
from qcore.backends.cuda.source import Program

STATIC_SHARED = 48 * 1024
"""Bytes of shared memory that a kernel may have without asking."""


@dataclass(frozen=True)
class Facts:
    """What a launch must know of a device; see `qcore.backends.cuda.device.Device`."""

    multiprocessors: int
    threads: int
    shared: int
    shared_of_block: int
    capability: int


@cache
def has_compiler() -> bool:
    """Return whether NVRTC is there: cuda-bindings does without until it is asked."""
    try:
        _checked(nvrtc.nvrtcVersion())
    except RuntimeError:
        return False
    return True


@cache
def facts(ordinal: int) -> Facts:
    """Return what is to be known of a device."""
    _checked(driver.cuInit(0))
    device = _checked(driver.cuDeviceGet(ordinal))
    names = driver.CUdevice_attribute

    def attribute(name: str) -> int:
        key = getattr(names, f"CU_DEVICE_ATTRIBUTE_{name}")
        return int(_checked(driver.cuDeviceGetAttribute(key, device)))

    return Facts(
        multiprocessors=attribute("MULTIPROCESSOR_COUNT"),
        threads=attribute("MAX_THREADS_PER_MULTIPROCESSOR"),
        shared=attribute("MAX_SHARED_MEMORY_PER_MULTIPROCESSOR"),
        shared_of_block=attribute("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"),
        capability=10 * attribute("COMPUTE_CAPABILITY_MAJOR")
        + attribute("COMPUTE_CAPABILITY_MINOR"),
    )


def launch(
    ordinal: int,
    stream: int,
    program: Program,
    kernel: str,
    grid: int,
    block: int,
    shared: int,
    arguments: Sequence[Argument],
) -> None:
    """Launch a kernel; the first time it is compiled.

    Parameters
    ----------
    ordinal : int
        The device, whose primary context is current or is made so.
    stream : int
        Handle of a stream of it.
    """
    function = _function(ordinal, program, kernel)
    pointers, at = pack(arguments)
    handle = driver.CUstream(stream)
    _checked(
        driver.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, shared, handle, at, 0)
    )
    del pointers  # the launch has copied what they point to


@cache
def _function(ordinal: int, program: Program, kernel: str) -> Any:
    function = _checked(
        driver.cuModuleGetFunction(_module(ordinal, program), kernel.encode())
    )
    # Asked for at once whatever a launch needs: a kernel may be launched with more.
    most = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    room = facts(ordinal).shared_of_block
    if room > STATIC_SHARED:
        _checked(driver.cuFuncSetAttribute(function, most, room))
    return function


@cache
def _module(ordinal: int, program: Program) -> Any:
    image = compiled(program, facts(ordinal).capability)
    if not int(_checked(driver.cuCtxGetCurrent())):
        device = _checked(driver.cuDeviceGet(ordinal))
        context = _checked(driver.cuDevicePrimaryCtxRetain(device))
        _checked(driver.cuCtxSetCurrent(context))
    return _checked(driver.cuModuleLoadData(image))


@cache
def compiled(program: Program, capability: int) -> bytes:
    """Return machine code for a compute capability, such as 90.

    PTX, which the driver compiles, where NVRTC is older than the device.
    """
    known = sorted(_checked(nvrtc.nvrtcGetSupportedArchs()))
    is_known = capability in known
    nearest = max(arch for arch in known if arch <= capability)
    target = f"sm_{capability}" if is_known else f"compute_{nearest}"
    options = [*program.options, "-default-device", f"--gpu-architecture={target}"]
    handle = _checked(
        nvrtc.nvrtcCreateProgram(program.text.encode(), b"qcore.cu", 0, [], [])
    )
    (error,) = nvrtc.nvrtcCompileProgram(
        handle, len(options), [option.encode() for option in options]
    )
    if error != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = b" " * _checked(nvrtc.nvrtcGetProgramLogSize(handle))
        _checked(nvrtc.nvrtcGetProgramLog(handle, log))
        raise RuntimeError(f"NVRTC refused the kernels for {target}: {log.decode()}")
    image: bytes
    if is_known:
        image = b" " * _checked(nvrtc.nvrtcGetCUBINSize(handle))
        _checked(nvrtc.nvrtcGetCUBIN(handle, image))
    else:
        image = b" " * _checked(nvrtc.nvrtcGetPTXSize(handle))
        _checked(nvrtc.nvrtcGetPTX(handle, image))
    _checked(nvrtc.nvrtcDestroyProgram(handle))
    return image


def _checked(answer: tuple[Any, ...]) -> Any:
    """Return what a call answered, or raise RuntimeError with the name of its error."""
    error, *values = answer
    if int(error):
        raise RuntimeError(f"CUDA answered {error.name}.")
    return values[0] if values else None
