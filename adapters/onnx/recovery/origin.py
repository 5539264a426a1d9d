"""A digest of all that recovery depends on."""

from collections.abc import Iterator

import onnx_ir as ir

from qcore.adapters.onnx.digest import digest, of_feed, of_model, of_versions
from qcore.adapters.onnx.recovery.held import Held


def origin(*models: ir.Model, held: Held, options: object) -> str:
    """
    Return a digest of models, samples, options and versions.

    Parameters
    ----------
    *models : Model
        The quantized one, and what it was made of.
    held : Held
        All samples.
    options : object
        What else changes the result, told apart by its `repr`.
    """
    return digest(_parts(models, held, options))


def _parts(
    models: tuple[ir.Model, ...], held: Held, options: object
) -> Iterator[bytes]:
    yield repr(options).encode()
    yield of_versions()
    for model in models:
        yield from of_model(model)
    for sample in held:
        yield from of_feed(sample)
