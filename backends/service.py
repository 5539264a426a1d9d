"""What serves what: the native functions of each library, and why some declined."""

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points, version
from itertools import groupby

from qcore.backends.found import is_found
from qcore.kernels import PORTABLE, Kernel, kernels
from qcore.libraries import load_backends

COMPILERS = {"numba": "numba", "triton": "triton", "cuda.bindings": "cuda-bindings"}
"""Modules that compile kernels for several libraries, and who distributes them."""


@dataclass(frozen=True)
class Service:
    """
    What serves a kernel on the arrays of a library.

    Attributes
    ----------
    library, kernel : str
        Names of the library's namespace and of the kernel.
    natives : tuple of str
        Modules of the native functions, in the order in which they are asked; the
        portable function runs if none of them serves a call.
    declines : dict of str
        By module: why its function left a call to the next one, the last time.
    """

    library: str
    kernel: str
    natives: tuple[str, ...]
    declines: dict[str, str]


@dataclass(frozen=True)
class Report:
    """
    What serves what; printed, a table.

    Attributes
    ----------
    versions : dict
        Of array libraries and compilers by name; None where one is not installed.
    failures : dict of str
        By library: why its backend could not be loaded.
    is_portable : bool
        Whether ``QCORE_BACKEND=reference`` asks for the portable functions.
    services : list of Service
        Kernels that have native functions, by library and name.
    """

    versions: dict[str, str | None]
    failures: dict[str, str]
    is_portable: bool
    services: list[Service]

    def __str__(self) -> str:
        lines = [
            f"{name} {v or 'is not installed'}" for name, v in self.versions.items()
        ]
        lines += [f"{name} failed: {why}" for name, why in self.failures.items()]
        if self.is_portable:
            lines.append("QCORE_BACKEND=reference: portable functions serve all calls")
        width = max((len(service.kernel) for service in self.services), default=0)
        for library, services in groupby(self.services, lambda s: s.library):
            lines += ["", library]
            for service in services:
                served = ", then ".join(map(_short, service.natives))
                lines.append(f"    {service.kernel:{width}}  {served}")
                lines += [
                    f"        {_short(module)} declined: {reason}"
                    for module, reason in service.declines.items()
                ]
        return "\n".join(lines)


def _short(module: str) -> str:
    return module.removeprefix("qcore.backends.")


def report() -> Report:
    """
    Return what serves each kernel on each installed array library.

    All backends are loaded, and so are their libraries.

    Returns
    -------
    Report
        What is installed, what failed to load, and the kernels with native functions;
        printed, a table.
    """
    versions: dict[str, str | None] = {}
    failures = {}
    entries = sorted(entry_points(group="qcore.backends"), key=lambda e: e.name)
    for name in dict.fromkeys(entry.name for entry in entries):
        package = name.partition(".")[0]
        if not is_found(package):
            versions[package] = None
            continue
        try:
            load_backends(name)
            versions[package] = str(import_module(package).__version__)
        except Exception as error:  # a broken installation fails in many ways
            failures[name] = f"{type(error).__name__}: {error}"
    versions |= {module: _version(name) for module, name in COMPILERS.items()}
    services = [
        Service(library, name, natives, _declines(library, natives, kernel))
        for name, kernel in sorted(kernels().items())
        for library, found in kernel.natives.items()
        if (natives := tuple(native.source for native in found))
    ]
    services.sort(key=lambda service: service.library)
    return Report(versions, failures, PORTABLE, services)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _declines(library: str, natives: tuple[str, ...], kernel: Kernel) -> dict[str, str]:
    return {
        module: kernel.declines[library, module]
        for module in natives
        if (library, module) in kernel.declines
    }
