"""A quantized model that is compared with the float one, sample by sample."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.comparison.counterparts import (
    counterparts,
    inner_tensors,
    paired_outputs,
)
from qcore.adapters.onnx.comparison.pair import Pair, TensorComparison
from qcore.adapters.onnx.data.inputs import Feed, Input, conform, inputs_of
from qcore.adapters.onnx.running.watching import watching
from qcore.errors import QuantError

GONE = "the quantized model has no tensor of its name"

Add: TypeAlias = Callable[[Feed, Mapping[str, np.ndarray], str], None]
"""Given a sample, what the float model makes of it and where it is from, compares."""


class ComparedModel:
    """What is known of a quantized model.

    Parameters
    ----------
    original, model : Model
        The float one, and the quantized one.

    Attributes
    ----------
    wanted : list of Value
        Tensors of the float model to compare with.

    Raises
    ------
    QuantError
        If their inputs or outputs do not fit each other.
    """

    def __init__(self, original: ir.Model, model: ir.Model) -> None:
        graph, other = original.graph, model.graph
        inputs, self.inputs = inputs_of(graph), inputs_of(other)
        if {i.name for i in inputs} != {i.name for i in self.inputs}:
            raise QuantError(
                f"the models must have the same inputs; got {_listed(inputs)} and "
                f"{_listed(self.inputs)}."
            )
        self.model = model
        ends = paired_outputs(graph, other)
        found = list(counterparts(inner_tensors(graph), other))
        self.gone = [str(value.name) for value, twin in found if twin is None]
        both = [*ends, *((value, twin) for value, twin in found if twin is not None)]
        self.wanted = [value for value, _ in both]
        self._twins = [twin for _, twin in both]
        self._pairs = [_pair(*one) for one in both]
        self._outputs = len(ends)

    def opened(self, stack: ExitStack, *, deployed: bool) -> Add:
        """Return what compares one sample more, as long as the stack is open."""
        watch = stack.enter_context(watching(self.model, self._twins, as_written=True))
        answer = None
        if deployed:
            last = self._twins[: self._outputs]
            answer = stack.enter_context(watching(self.model, last))

        def add(sample: Feed, wanted: Mapping[str, np.ndarray], place: str) -> None:
            feed = conform(sample, self.inputs, place)
            got = watch(feed, place)
            if answer is not None:
                got |= answer(feed, place)
            for pair in self._pairs:
                pair.add(wanted[pair.name], got[pair.counterpart], place)

        return add

    def outputs(self) -> tuple[TensorComparison, ...]:
        """Return the figures of the outputs, in the order of the float model."""
        return _results(self._pairs[: self._outputs])

    def tensors(self) -> tuple[TensorComparison, ...]:
        """Return those of all other tensors, the worst first."""
        found = _results(self._pairs[self._outputs :])
        return tuple(sorted(found, key=lambda tensor: tensor.rank))

    def unmatched(self) -> dict[str, str]:
        """Return each tensor that is not compared, with the reason."""
        problems = {p.name: p.problem for p in self._pairs if p.problem is not None}
        return dict.fromkeys(self.gone, GONE) | problems


def _pair(value: ir.Value, twin: ir.Value) -> Pair:
    producer = value.producer()
    op_type = producer.op_type if producer else ""
    return Pair(str(value.name), op_type, str(twin.name))


def _results(pairs: Sequence[Pair]) -> tuple[TensorComparison, ...]:
    return tuple(pair.result() for pair in pairs if pair.problem is None)


def _listed(inputs: Sequence[Input]) -> str:
    return ", ".join(repr(i.name) for i in inputs)
