"""Models whose weights lie in a second file beside them."""

import os
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

import onnx
import onnx_ir as ir

LEAST_BYTES = 1024
"""Smaller constants stay in the model's file, where shapes depend on them."""


def save_with_side_file(model: onnx.ModelProto, path: Path, /) -> None:
    """Write a model to a path, its weights to a file beside it.

    That one gets a name of its own at each writing and is there first, so that the
    model in `path` has its weights at any time, the old one or the new one. A file with
    weights of what was there before is removed at the end.
    """
    side = f"{path.name}.{token_hex(4)}.data"
    before = side_files(path)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        scratch = Path(folder, path.name)
        ir.save(
            ir.from_proto(model),
            scratch,
            external_data=side,
            size_threshold_bytes=LEAST_BYTES,
        )
        for file in (scratch, scratch.with_name(side)):
            with file.open("rb") as written:
                os.fsync(written.fileno())
        beside = path.with_name(side)
        Path(folder, side).replace(beside)
        try:
            scratch.replace(path)
        except BaseException:
            beside.unlink()
            raise
    for old in before:
        old.unlink()


def side_files(path: Path, /) -> list[Path]:
    """Return the files beside a path that hold weights of what was saved there."""
    return list(path.parent.glob(f"{_literal(path.name)}.{'[0-9a-f]' * 8}.data"))


def _literal(name: str) -> str:
    """Return a pattern that fits a name alone."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
