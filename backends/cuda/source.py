"""The text of the kernels, and the options it is compiled with."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
OPTIONS = ("-std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true")
"""IEEE arithmetic: nothing fused, no subnormal number flushed, true division."""


@dataclass(frozen=True)
class Program:
    """Files that are compiled as one, with the macros that choose among their variants.

    Parameters
    ----------
    files : tuple of str
        Names of files in this folder, in their order.
    macros : tuple of str
        Such as ``"TABLE=0"``.
    """

    files: tuple[str, ...]
    macros: tuple[str, ...]

    @property
    def text(self) -> str:
        """The files in their order."""
        return "".join((FOLDER / name).read_text("utf-8") for name in self.files)

    @property
    def options(self) -> tuple[str, ...]:
        """What NVRTC is told, the architecture apart."""
        return (*OPTIONS, *(f"-D{macro}" for macro in self.macros))
