"""How close a quantized model is to the float model it was made of, tensor by tensor.

Both run in ONNX Runtime without optimizations, sample by sample: each operator as ONNX
defines it, on what the DequantizeLinear before it gives. So figures do not depend on
which tensors are watched. Deployed, onnxruntime computes on the codes instead and
merges operators; its sums are exact where these are floats, so some codes differ by
one, and on x86 without VNNI int8 weights may overflow that other tools have made. What
the model then answers is asked for with ``deployed=True``.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from onnx_ir.passes.common import RemoveInitializersFromInputsPass

from qcore.adapters.onnx.argument_kinds import check_flags
from qcore.adapters.onnx.comparison.compared_model import ComparedModel
from qcore.adapters.onnx.comparison.pair import TensorComparison
from qcore.adapters.onnx.data.feeds import Data, open_feeds
from qcore.adapters.onnx.data.inputs import conform, inputs_of
from qcore.adapters.onnx.data.picking import pick_samples
from qcore.adapters.onnx.data.progress import Progress, followed
from qcore.adapters.onnx.files.model_file import Source, to_ir
from qcore.adapters.onnx.passes.infer_types import infer_types
from qcore.adapters.onnx.running.watching import watching
from qcore.adapters.progress import terminal_bar
from qcore.errors import QuantError

CONSTANT_INITIALIZERS = 4
"""The first IR version whose initializers need not be inputs."""


@dataclass(frozen=True)
class ModelComparison:
    """What `compare` found.

    Attributes
    ----------
    outputs : tuple of TensorComparison
        Of the model, in its order.
    tensors : tuple of TensorComparison
        All others that both models have, the worst first.
    unmatched : mapping of str to str
        Each tensor of the float model that is not compared, with the reason.
    samples : int
        How many there were.
    deployed : bool
        Whether the outputs are those of the optimized model.
    """

    outputs: tuple[TensorComparison, ...]
    tensors: tuple[TensorComparison, ...]
    unmatched: Mapping[str, str]
    samples: int
    deployed: bool


def compare(
    float_model: Source,
    quantized_model: Source,
    data: Data,
    /,
    *,
    samples: int | None = None,
    deployed: bool = False,
    progress: Progress | None = None,
) -> ModelComparison:
    """
    Return how close the tensors of a quantized model are to those of the float model.

    Tensors are matched by name. Where one is put in codes, what DequantizeLinear makes
    of these is compared. What lies between operators that `quantize` merges, such as
    Conv and BatchNormalization, the quantized model does not have: it is among the
    ``unmatched``, and the result of the last of them is compared.

    One sample is held at a time, with its activations: memory does not grow with the
    number of samples, whose shapes may differ.

    Parameters
    ----------
    float_model, quantized_model : path or ModelProto
        Any two with the same inputs and outputs.
    data : path, iterable or data reader
        Samples, as of `calibrate`.
    samples : int, optional
        At most how many are used; by default all.
    deployed : bool, optional
        Take the outputs of the quantized model as onnxruntime gives them with all its
        optimizations, on integers, rather than those of the operators as written.
    progress : callable, optional
        As of `calibrate`.

    Raises
    ------
    QuantError
        If a model or the data cannot be read, or do not fit each other.
    """
    models = {"": quantized_model}
    return compare_each(
        float_model, models, data, samples=samples, deployed=deployed, progress=progress
    )[""]


def compare_each(
    float_model: Source,
    quantized_models: Mapping[str, Source],
    data: Data,
    /,
    *,
    samples: int | None = None,
    deployed: bool = False,
    progress: Progress | None = None,
) -> dict[str, ModelComparison]:
    """
    Return what `compare` does for several quantized models, in one run over the data.

    For what is made with and without a technique, side by side.

    Parameters
    ----------
    float_model : path or ModelProto
        What the others were made of.
    quantized_models : mapping
        Paths or ModelProtos by any name.
    data, samples, deployed, progress
        As of `compare`.

    Returns
    -------
    dict
        By the same names.

    Raises
    ------
    QuantError
        As `compare`, or if there is no quantized model.
    """
    check_flags(deployed=deployed)
    if not quantized_models:
        raise QuantError("`quantized_models` must hold at least one; got none.")
    original = _opened(float_model)
    inputs = inputs_of(original.graph)
    compared = {}
    for name, source in quantized_models.items():
        with _named(name):
            compared[name] = ComparedModel(original, _opened(source))
    feeds, total = pick_samples(open_feeds(data, inputs), samples)
    used = 0
    with ExitStack() as stack:
        wanted = dict.fromkeys(v for c in compared.values() for v in c.wanted)
        watch = stack.enter_context(watching(original, [*wanted], as_written=True))
        opened = {}
        for name, one in compared.items():
            with _named(name):
                opened[name] = one.opened(stack, deployed=deployed)
        for number, sample in followed(progress, feeds, total, _bar):
            place = f"in sample {number}"
            found = watch(conform(sample, inputs, place), place)
            for name, add in opened.items():
                with _named(name):
                    add(sample, found, place)
            del found  # before the next sample's come to be
            used += 1
    if not used:
        raise QuantError("`data` must hold at least one sample; it has none.")
    return {
        name: ModelComparison(
            one.outputs(),
            one.tensors(),
            one.unmatched(),
            samples=used,
            deployed=deployed,
        )
        for name, one in compared.items()
    }


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say which of several models an error is about."""
    try:
        yield
    except QuantError as error:
        if not name:
            raise
        raise type(error)(f"{name}: {error}") from error


def _opened(source: Source) -> ir.Model:
    model: ir.Model = RemoveInitializersFromInputsPass()(to_ir(source)).model
    model.ir_version = max(model.ir_version, CONSTANT_INITIALIZERS)
    return infer_types(model)


def _bar(samples: Iterable[Any], total: int | None) -> Iterable[Any]:
    return terminal_bar(samples, "comparing", "sample", total)
