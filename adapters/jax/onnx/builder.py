"""A graph of ONNX, put together node by node."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import onnx_ir as ir

from qcore.adapters.jax.onnx.codes import Codes
from qcore.adapters.onnx.graph.constants import add_constant
from qcore.adapters.onnx.graph.names import Names

Operand: TypeAlias = Any
"""A value of the graph, an array that is known now, or the codes of one."""

_SMALL = 1024
"""Bytes of a constant up to which equal ones become one."""


def is_known(operand: Operand, /) -> bool:
    """Return whether an operand is an array, or a sequence of keys, of now."""
    return not isinstance(operand, ir.Value | Codes)


class Builder:
    """
    A graph under construction.

    Parameters
    ----------
    opset : int
        Of its operators.
    name : str
        Of the graph.
    """

    def __init__(self, opset: int, name: str) -> None:
        self.graph = ir.Graph([], [], nodes=[], opset_imports={"": opset}, name=name)
        self.opset = opset
        self.scope = ""
        self._names = Names(self.graph)
        self._block = self.graph
        self._constants: dict[Any, tuple[Any, ir.Value]] = {}
        self._origins: dict[int, tuple[Any, str]] = {}
        self._thin: dict[ir.Value, Operand] = {}

    @contextmanager
    def scoped(self, scope: str) -> Iterator[None]:
        """Name nodes after a scope inside of the present one, while the block lasts."""
        outer = self.scope
        self.scope = "/".join(part for part in (outer, scope) if part)
        try:
            yield
        finally:
            self.scope = outer

    @contextmanager
    def subgraph(self, name: str) -> Iterator[ir.Graph]:
        """Put nodes into a graph of its own, while the block lasts."""
        outer = self._block
        self._block = ir.Graph([], [], nodes=[], name=self._names.fresh(name))
        try:
            yield self._block
        finally:
            self._block = outer

    def named(self, value: ir.Value, name: str) -> ir.Value:
        """Return a value by another name, numbered if something has it."""
        value.name = self._names.fresh(name)
        return value

    def fresh(self, name: str) -> str:
        """Return a name that nothing has, in the present scope."""
        return self._names.fresh("/".join(part for part in (self.scope, name) if part))

    def input(self, name: str, shape: tuple[int, ...], dtype: Any) -> ir.Value:
        """Return a new input of the graph that nodes are put into."""
        value = ir.Value(
            name=self._names.fresh(name),
            shape=ir.Shape(shape),
            type=ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype))),
        )
        self._block.inputs.append(value)
        return value

    def output(self, operand: Operand, name: str) -> None:
        """Make an operand an output of the graph that nodes are put into."""
        value = self.value(operand)
        producer = value.producer()
        is_here = producer is not None and producer.graph is self._block
        if not is_here or value in self._block.outputs:
            shape, kind = value.shape, value.type
            value = self.op("Identity", value)
            value.shape, value.type = shape, kind
        self._block.outputs.append(self.named(value, name))

    def op(self, kind: str, *inputs: Operand | None, **attributes: Any) -> ir.Value:
        """Return the result of a new node; None among the inputs is left out."""
        (value,) = self.ops(kind, 1, *inputs, **attributes)
        return value

    def ops(
        self, kind: str, outputs: int, *inputs: Operand | None, **attributes: Any
    ) -> list[ir.Value]:
        """Return the results of a new node."""
        name = self.fresh(kind)
        values = [
            ir.Value(name=self._names.fresh(f"{name}:{number}"))
            for number in range(outputs)
        ]
        node = ir.node(
            kind,
            [None if x is None else self.value(x) for x in inputs],
            attributes,
            outputs=values,
            name=name,
        )
        self._block.append(node)
        return values

    def value(self, operand: Operand) -> ir.Value:
        """Return an operand as a value; what is known becomes a constant."""
        if isinstance(operand, ir.Value):
            return operand
        if isinstance(operand, Codes):
            return self.dequantized(operand)
        array = np.asarray(operand)
        key: Any = id(operand)
        if array.nbytes <= _SMALL:
            key = (array.dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.origin(operand) or self.fresh("constant")
            # The operand is kept, lest another one gets its id.
            self._constants[key] = operand, self.constant(name, array)
        return self._constants[key][1]

    def shaped(self, value: ir.Value, shape: tuple[int, ...]) -> ir.Value:
        """Return a value whose shape is known from now on."""
        value.shape = ir.Shape(shape)
        return value

    def constant(self, name: str, array: np.ndarray) -> ir.Value:
        """Return a new initializer, shared with nothing."""
        return add_constant(self.graph, self._names, name, array)

    def name_origin(self, array: Any, name: str) -> None:
        """Say where an array comes from."""
        self._origins.setdefault(id(array), (array, name))

    def origin(self, array: Any) -> str | None:
        """Return where an array comes from, if that is known."""
        return self._origins.get(id(array), (None, None))[1]

    def dequantized(self, stored: Codes) -> ir.Value:
        """Return what codes stand for."""
        name = stored.name
        codes = self.constant(f"{name}_quantized", stored.codes)
        scale = self.constant(f"{name}_scale", stored.flat(stored.scale))
        zero_point = self.constant(f"{name}_zero_point", stored.flat(stored.zero_point))
        inputs, attributes = (codes, scale, zero_point), stored.attributes
        real = self.op("DequantizeLinear", *inputs, **attributes)
        self.shaped(real, stored.shape)
        return real if stored.dtype == np.float32 else self._cast(real, stored.dtype)

    def cast(self, x: Operand, dtype: Any) -> Operand:
        """Return an operand in another dtype."""
        return np.asarray(x).astype(dtype) if is_known(x) else self._cast(x, dtype)

    def _cast(self, x: Operand, dtype: Any) -> ir.Value:
        return self.op("Cast", x, to=int(ir.DataType.from_numpy(np.dtype(dtype))))

    def broadcast(self, thin: Operand, shape: tuple[int, ...]) -> ir.Value:
        """Return an operand of as many axes, repeated to a shape."""
        value = self.op("Expand", thin, np.asarray(shape, np.int64))
        self._thin[value] = thin
        return value

    def unrepeated(
        self, inputs: tuple[Operand, ...], shape: tuple[int, ...]
    ) -> list[Operand]:
        """Return operands before they were repeated, where that gives a shape too."""
        thin = [self._thin.get(x, x) if isinstance(x, ir.Value) else x for x in inputs]
        shapes = [tuple(x.shape) for x in thin if x.shape is not None]
        same = len(shapes) == len(thin) and np.broadcast_shapes(*shapes) == shape
        return thin if same else list(inputs)
