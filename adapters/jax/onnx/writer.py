"""Programs of JAX written as nodes of ONNX, equation by equation."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import onnx_ir as ir
from jax.extend import core

from qcore import QParams
from qcore.adapters.jax.calls import Closed, bound
from qcore.adapters.jax.config import Plan
from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.kinds import KINDS, bodies_of
from qcore.adapters.jax.onnx import (  # noqa: F401 - they enter the table
    convolutions,
    indexing,
    logic,
    products,
    reductions,
    windows,
)
from qcore.adapters.jax.onnx.builder import Builder, Operand, is_known
from qcore.adapters.jax.onnx.codes import Codes
from qcore.adapters.jax.onnx.control import CONTROL
from qcore.adapters.jax.onnx.lowering import LOWERINGS, UnsupportedError
from qcore.adapters.jax.onnx.quantizing import quantized
from qcore.adapters.jax.origins import LAYOUT
from qcore.adapters.jax.plans import by_index

_LARGEST_REPEATED = 4096
"""Elements up to which what is known is repeated now, not in the graph."""


class Writer:
    """
    Writes a program.

    Parameters
    ----------
    builder : Builder
        Of the graph.
    plans : sequence of Plan
        What is quantized.
    qparams : mapping
        From names of sites to how.

    Attributes
    ----------
    unsupported : list of str
        What was left out because ONNX cannot say it; the graph is whole without.
    """

    def __init__(
        self, builder: Builder, plans: Sequence[Plan], qparams: Mapping[str, QParams]
    ) -> None:
        self.builder = builder
        self.unsupported: list[str] = []
        self._plans = by_index(plans)
        self._qparams = qparams
        self._last_site = ""

    def run(
        self, program: Closed, inputs: Sequence[Operand], index: Index = ()
    ) -> list[Operand]:
        """Return the outputs of a program."""
        values: dict[core.Var, Operand] = {}

        def read(atom: Any) -> Operand:
            if isinstance(atom, core.Literal):
                aval: Any = atom.aval
                return np.asarray(atom.val, aval.dtype)
            return values[atom]

        jaxpr = program.jaxpr
        values.update(zip(jaxpr.constvars, map(known, program.consts), strict=True))
        values.update(zip(jaxpr.invars, inputs, strict=True))
        for number, equation in enumerate(jaxpr.eqns):
            given = [read(atom) for atom in equation.invars]
            scope = str(equation.source_info.name_stack)
            with self.builder.scoped(scope):
                outputs = self._equation(equation, given, (*index, number))
            for variable, output in zip(equation.outvars, outputs, strict=True):
                values[variable] = _typed(output, variable.aval)
        return [read(atom) for atom in jaxpr.outvars]

    def has_site(self, here: Index) -> bool:
        """Return whether something is quantized inside of an equation."""
        return any(site[: len(here)] == here for site in self._plans)

    def _equation(
        self, equation: core.JaxprEqn, inputs: list[Operand], here: Index
    ) -> list[Operand]:
        name = _name_of(equation)
        if here in self._plans:
            inputs = self._at_site(equation, inputs, here)
        elif name not in LOWERINGS and _is_call(equation):
            body = bodies_of(equation)[0]
            return self.run(body, inputs, (*here, 0))
        elif all(map(is_known, inputs)) and self._is_now(equation, here):
            return self._evaluated(equation, inputs)
        try:
            if name in CONTROL:
                return CONTROL[name](self, equation, inputs, here)
            if name not in LOWERINGS:
                raise UnsupportedError("has no operator")
            outputs = LOWERINGS[name](self.builder, equation, *inputs)
            outputs = outputs if isinstance(outputs, list) else [outputs]
            return [
                self.builder.dequantized(x) if isinstance(x, Codes) else x
                for x in outputs
            ]
        except UnsupportedError as error:
            self.unsupported.append(self._described(name, str(error)))
            return [ir.Value() for _ in equation.outvars]

    def _at_site(
        self, equation: core.JaxprEqn, inputs: list[Operand], here: Index
    ) -> list[Operand]:
        """Return the operands of a site, those with a plan quantized."""
        inputs = list(inputs)
        for plan in self._plans[here]:
            number = plan.site.operand
            self._last_site = plan.site.name
            inputs[number] = quantized(
                self.builder,
                plan,
                self._qparams.get(plan.site.name),
                inputs[number],
                aval=equation.invars[number].aval,
                in_graph=self._in_graph,
            )
        return inputs

    def _in_graph(
        self, f: Any, x: ir.Value, aval: Any
    ) -> tuple[list[Operand], list[Any]]:
        """Return what a function makes of a value."""
        shape = jax.ShapeDtypeStruct(aval.shape, aval.dtype)
        closed = jax.make_jaxpr(f)(shape)
        # No site has a negative number.
        outputs = self.run(Closed(closed.jaxpr, closed.consts), [x], (-1,))
        return outputs, list(closed.out_avals)

    def _is_now(self, equation: core.JaxprEqn, here: Index) -> bool:
        """Return whether an equation of what is known is computed, not written."""
        if self.has_site(here):
            return False
        read: Any = [atom.aval for atom in equation.invars]
        made: Any = [variable.aval for variable in equation.outvars]
        size = max(prod(aval.shape) for aval in made)
        largest = max([prod(aval.shape) for aval in read], default=0)
        return bool(size <= max(_LARGEST_REPEATED, largest))

    def _evaluated(self, equation: core.JaxprEqn, inputs: list[Any]) -> list[Operand]:
        outputs = list(map(known, bound(equation, list(map(jnp.asarray, inputs)))))
        if equation.primitive.name in LAYOUT:
            origin = self.builder.origin(inputs[0])
            if origin is not None:
                self.builder.name_origin(outputs[0], origin)
        return outputs

    def _described(self, name: str, reason: str) -> str:
        where = f" in scope {self.builder.scope!r}" if self.builder.scope else ""
        after = f" after site {self._last_site!r}" if self._last_site else ""
        return f"{name}{where}{after} {reason}"


def _name_of(equation: core.JaxprEqn) -> str:
    """Return the name of a primitive, or of a function that has an operator."""
    called = f"jit {equation.params.get('name')}"
    return called if called in LOWERINGS else str(equation.primitive.name)


def _is_call(equation: core.JaxprEqn, /) -> bool:
    """Return whether an equation is a program in its place and nothing more."""
    name = equation.primitive.name
    return name in KINDS and name not in CONTROL and name != "shard_map"


def known(array: Any, /) -> Any:
    """Return an array of the host, or of keys as it is."""
    array = jnp.asarray(array)
    return array if is_key(array) else np.asarray(array)


def is_key(array: Any, /) -> bool:
    """Return whether something, or its shape, is of keys of random numbers."""
    return bool(jnp.issubdtype(array.dtype, jax.dtypes.extended))


def _typed(output: Operand, aval: Any) -> Operand:
    """Return a value with the shape and dtype it has in JAX."""
    if isinstance(output, ir.Value) and output.type is None and not is_key(aval):
        output.shape = ir.Shape(aval.shape)
        output.type = ir.TensorType(ir.DataType.from_numpy(np.dtype(aval.dtype)))
    return output
