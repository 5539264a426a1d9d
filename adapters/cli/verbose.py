"""What `--verbose` tells on stderr: versions, time, and where an error is from."""

import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("qcore-quant", "numpy", "onnx", "onnx-ir", "onnxruntime", "torch", "jax")


@contextmanager
def told(name: str, *, verbose: bool) -> Iterator[None]:
    """Tell of what is done in the block, if that is wanted."""
    if not verbose:
        yield
        return
    start = time.perf_counter()
    sys.stderr.write(f"{name}: {', '.join(_versions())}\n")
    try:
        yield
    except BaseException:
        sys.stderr.write(traceback.format_exc())
        raise
    finally:
        sys.stderr.write(f"{name}: {time.perf_counter() - start:.2f} s\n")


def _versions() -> Iterator[str]:
    yield f"Python {sys.version.split()[0]}"
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue
