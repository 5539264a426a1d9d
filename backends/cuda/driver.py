"""Compile by NVRTC and launch by the driver, with raw pointers on a given stream.

For libraries that have no way of their own to launch CUDA C. Both are asked through
NVIDIA's package cuda-bindings; importing this touches no device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from cuda.bindings import driver, nvrtc

from qcore.backends.cuda.device import STATIC_SHARED, Argument, pack
from qcore.backends.cuda.source import Program


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
        _ask("nvrtcVersion", about="its version")
    except RuntimeError:
        return False
    return True


@cache
def facts(ordinal: int) -> Facts:
    """Return what is to be known of a device."""
    about = f"device {ordinal}"
    _ask("cuInit", 0, about=about)
    device = _ask("cuDeviceGet", ordinal, about=about)
    names = driver.CUdevice_attribute

    def attribute(name: str) -> int:
        key = getattr(names, f"CU_DEVICE_ATTRIBUTE_{name}")
        return int(_ask("cuDeviceGetAttribute", key, device, about=about))

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
        The device, whose primary context is made current where none is, as in a
        thread that has not called CUDA before.
    stream : int
        Handle of a stream of it.

    Raises
    ------
    RuntimeError
        If CUDA refuses; the message names the call, the kernel and the device.
    """
    about = f"{kernel} on device {ordinal}"
    if not int(_ask("cuCtxGetCurrent", about=about)):
        _ask("cuCtxSetCurrent", _context(ordinal), about=about)
    function = _function(ordinal, program, kernel)
    pointers, at = pack(arguments)
    sizes = (grid, 1, 1, block, 1, 1, shared)
    stream = driver.CUstream(stream)
    _ask("cuLaunchKernel", function, *sizes, stream, at, 0, about=about)
    del pointers  # the launch has copied what they point to


@cache
def _context(ordinal: int) -> Any:
    about = f"device {ordinal}"
    device = _ask("cuDeviceGet", ordinal, about=about)
    return _ask("cuDevicePrimaryCtxRetain", device, about=about)


@cache
def _function(ordinal: int, program: Program, kernel: str) -> Any:
    about = f"{kernel} on device {ordinal}"
    module = _module(ordinal, program)
    function = _ask("cuModuleGetFunction", module, kernel.encode(), about=about)
    # Asked for at once whatever a launch needs: a kernel may be launched with more.
    most = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    room = facts(ordinal).shared_of_block
    if room > STATIC_SHARED:
        _ask("cuFuncSetAttribute", function, most, room, about=about)
    return function


@cache
def _module(ordinal: int, program: Program) -> Any:
    image = compiled(program, facts(ordinal).capability)
    about = f"{program.files[-1]} on device {ordinal}"
    return _ask("cuModuleLoadData", image, about=about)


@cache
def compiled(program: Program, capability: int) -> bytes:
    """Return machine code for a compute capability, such as 90.

    PTX, which the driver compiles, where NVRTC is older than the device.
    """
    about = f"{program.files[-1]} for compute capability {capability}"
    known = sorted(_ask("nvrtcGetSupportedArchs", about=about))
    is_known = capability in known
    nearest = max(arch for arch in known if arch <= capability)
    target = f"sm_{capability}" if is_known else f"compute_{nearest}"
    options = [*program.options, "-default-device", f"--gpu-architecture={target}"]
    text = program.text.encode()
    handle = _ask("nvrtcCreateProgram", text, b"qcore.cu", 0, [], [], about=about)
    (error,) = nvrtc.nvrtcCompileProgram(
        handle, len(options), [option.encode() for option in options]
    )
    if error != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        log = b" " * _ask("nvrtcGetProgramLogSize", handle, about=about)
        _ask("nvrtcGetProgramLog", handle, log, about=about)
        raise RuntimeError(f"NVRTC refused {about}: {log.decode()}")
    kind = "CUBIN" if is_known else "PTX"
    image = b" " * int(_ask(f"nvrtcGet{kind}Size", handle, about=about))
    _ask(f"nvrtcGet{kind}", handle, image, about=about)
    _ask("nvrtcDestroyProgram", handle, about=about)
    return image


def _ask(name: str, *arguments: Any, about: str) -> Any:
    """Return what a function of the driver or of NVRTC answers, or raise its error."""
    library = nvrtc if name.startswith("nvrtc") else driver
    error, *values = getattr(library, name)(*arguments)
    if int(error):
        raise RuntimeError(f"CUDA answered {error.name} to {name} for {about}.")
    return values[0] if values else None
