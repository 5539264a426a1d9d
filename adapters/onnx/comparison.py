"""How close a quantized model is to the float model it was made of, tensor by tensor.

Both run in ONNX Runtime without optimizations, sample by sample: each operator as ONNX
defines it, on what the DequantizeLinear before it gives. So figures do not depend on
which tensors are watched. Deployed, onnxruntime computes on the codes instead and
merges operators; its sums are exact where these are floats, so some codes differ by
one, and on x86 without VNNI int8 weights may overflow. What the model then answers is
asked for with ``deployed=True``.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir
from onnx_ir.passes.common import RemoveInitializersFromInputsPass

from qcore.adapters.onnx.counterparts import (
    counterparts,
    inner_tensors,
    paired_outputs,
)
from qcore.adapters.onnx.feeds import Data, open_feeds
from qcore.adapters.onnx.inputs import Input, conform, inputs_of
from qcore.adapters.onnx.model_file import Source, to_ir
from qcore.adapters.onnx.pair import Pair, TensorComparison
from qcore.adapters.onnx.passes.infer_types import infer_types
from qcore.adapters.onnx.picking import pick_samples
from qcore.adapters.onnx.progress import Progress
from qcore.adapters.onnx.watching import watching
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
    models = _opened(float_model), _opened(quantized_model)
    graph, other = (model.graph for model in models)
    inputs, taken = inputs_of(graph), inputs_of(other)
    if {i.name for i in inputs} != {i.name for i in taken}:
        raise QuantError(
            f"the models must have the same inputs; got {_listed(inputs)} and "
            f"{_listed(taken)}."
        )
    ends = paired_outputs(graph, other)
    found = list(counterparts(inner_tensors(graph), other))
    pairs = [*ends, *((value, twin) for value, twin in found if twin is not None)]
    watched, twins = [value for value, _ in pairs], [twin for _, twin in pairs]
    seen = [_pair(*pair) for pair in pairs]
    outputs, tensors = seen[: len(ends)], seen[len(ends) :]
    feeds, total = pick_samples(open_feeds(data, inputs), samples)
    used = 0
    with ExitStack() as stack:
        watch = stack.enter_context(watching(models[0], watched, as_written=True))
        watch_twins = stack.enter_context(watching(models[1], twins, as_written=True))
        answer = None
        if deployed:
            last = [twin for _, twin in ends]
            answer = stack.enter_context(watching(models[1], last))
        for number, sample in (progress or _bar)(feeds, total):
            place = f"in sample {number}"
            wanted = watch(conform(sample, inputs, place), place)
            feed = conform(sample, taken, place)
            got = watch_twins(feed, place)
            if answer is not None:
                got |= answer(feed, place)
            for pair in seen:
                pair.add(wanted[pair.name], got[pair.counterpart], place)
            del wanted, got  # before the next sample's come to be
            used += 1
    if not used:
        raise QuantError("`data` must hold at least one sample; it has none.")
    return ModelComparison(
        outputs=tuple(pair.result() for pair in outputs if pair.problem is None),
        tensors=tuple(
            sorted(
                (pair.result() for pair in tensors if pair.problem is None),
                key=lambda tensor: tensor.rank,
            )
        ),
        unmatched={str(v.name): GONE for v, twin in found if twin is None}
        | {pair.name: pair.problem for pair in seen if pair.problem is not None},
        samples=used,
        deployed=deployed,
    )


GONE = "the quantized model has no tensor of its name"


def _opened(source: Source) -> ir.Model:
    model: ir.Model = RemoveInitializersFromInputsPass()(to_ir(source)).model
    model.ir_version = max(model.ir_version, CONSTANT_INITIALIZERS)
    return infer_types(model)


def _listed(inputs: Sequence[Input]) -> str:
    return ", ".join(repr(i.name) for i in inputs)


def _pair(value: ir.Value, twin: ir.Value) -> Pair:
    producer = value.producer()
    op_type = producer.op_type if producer else ""
    return Pair(str(value.name), op_type, str(twin.name))


def _bar(samples: Iterable[Any], total: int | None) -> Iterable[Any]:
    return terminal_bar(samples, "comparing", "sample", total)
