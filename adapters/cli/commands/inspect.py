"""`qcore inspect`: tell what is in a file."""

from argparse import Namespace
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from qcore.adapters.cli.errors import BadInputError


def run(arguments: Namespace) -> Iterator[str]:
    """Yield a description of an ONNX model or of statistics."""
    if not arguments.file.is_file():
        raise BadInputError(f"there is no file {str(arguments.file)!r}.")
    kind = "statistics" if _is_safetensors(arguments.file) else "onnx"
    # ONNX, which takes a second to import and may be missing, only for its own files.
    module = import_module(f"qcore.adapters.cli.inspection.{kind}")
    yield from module.describe(arguments.file, arguments)


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins with the length of a JSON header, and with that."""
    with path.open("rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    return head[8:] == b"{" and length <= path.stat().st_size - 8
