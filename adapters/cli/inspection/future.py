"""Say what would become of a float model for a runtime, and what would not and why."""

from collections.abc import Iterator

from qcore.adapters.cli.listed import counted, listed
from qcore.adapters.onnx.inspection.future import Future
from qcore.adapters.onnx.targets import find_target


def told(found: Future) -> Iterator[str]:
    """Yield it as lines of text."""
    yield from listed("would compute in int8", found.compute)
    yield from listed("would pass codes on", found.carriers)
    if found.stores:
        yield from listed("would compute on floats, weights in codes", found.stores)
    yield from map(str, found.kept_float)
    if found.other_operators:
        others = counted(found.other_operators)
        if find_target(found.target).carries:
            yield f"All others stay float: {others}."
        else:
            yield f"All others are left to {found.target}: {others}."
