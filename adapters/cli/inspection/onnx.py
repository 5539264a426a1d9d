"""Describe an ONNX model: what it takes and gives, what is int8 or would be."""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from qcore.adapters import onnx
from qcore.adapters.cli.as_json import to_json
from qcore.adapters.cli.inspection import future, present
from qcore.adapters.cli.units import size
from qcore.adapters.onnx.inspection.present import Present

DEFAULT_LIMIT = 12


def describe(path: Path, arguments: Namespace) -> Iterator[str]:
    """Yield opset, inputs, outputs, then what is or would be quantized."""
    found = onnx.inspect(path, target=arguments.target)
    length = path.stat().st_size
    if arguments.json:
        yield to_json({"file": str(path), "bytes": length, **asdict(found)})
        return
    opsets = (f"{domain} {version}" for domain, version in found.opsets.items())
    yield f"{path}: ONNX, {', '.join(opsets)}; {size(length)}."
    yield from (f"input {name}: {form}" for name, form in found.inputs.items())
    yield from (f"output {name}: {form}" for name, form in found.outputs.items())
    yield ""
    if isinstance(found.contents, Present):
        limit = DEFAULT_LIMIT if arguments.limit is None else arguments.limit
        yield from present.told(found.contents, limit)
    else:
        yield from future.told(found.contents)
