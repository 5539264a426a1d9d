"""Loops and branches."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.kinds import bodies_of
from qcore.adapters.jax.onnx.builder import Operand, is_known
from qcore.adapters.jax.onnx.layout import reshape

Control: TypeAlias = Callable[[Any, Any, list[Operand], Index], list[Operand]]
"""Takes the writer, the equation, its operands and where it is."""

_UNROLLED = 16
"""Rounds of a loop that are written one by one."""


def _scan(
    writer: Any, equation: Any, inputs: list[Operand], here: Index
) -> list[Operand]:
    first = equation.params["num_consts"]
    last = first + equation.params["num_carry"]
    parts = inputs[:first], inputs[first:last], inputs[last:]
    # Rows of weights are stored each in its own codes.
    holds_weights = writer.has_site(here) and any(map(is_known, inputs[last:]))
    is_short = equation.params["length"] <= _UNROLLED
    write = _rounds if is_short or holds_weights else _scanned
    return write(writer, equation, parts, here)


def _rounds(writer: Any, equation: Any, parts: Any, here: Index) -> list[Operand]:
    """Write the body once for each round."""
    constants, carry, rows = parts
    body = bodies_of(equation)[0]
    builder, length = writer.builder, equation.params["length"]
    columns: list[list[Operand]] = [[] for _ in body.jaxpr.outvars[len(carry) :]]
    order = list(range(length))
    for number in order[::-1] if equation.params["reverse"] else order:
        row = [_row(builder, x, number) for x in rows]
        outputs = writer.run(body, [*constants, *carry, *row], (*here, 0))
        carry = outputs[: len(carry)]
        for column, x in zip(columns, outputs[len(carry) :], strict=True):
            column.append(x)
    if equation.params["reverse"]:
        columns = [column[::-1] for column in columns]
    avals = [variable.aval for variable in equation.outvars[len(carry) :]]
    stacked = [_stacked(builder, *pair) for pair in zip(columns, avals, strict=True)]
    return [*carry, *stacked]


def _scanned(writer: Any, equation: Any, parts: Any, here: Index) -> list[Operand]:
    """Write the body once, in an operator that repeats it."""
    constants, carry, rows = parts
    body = bodies_of(equation)[0]
    builder, params = writer.builder, equation.params
    avals = [variable.aval for variable in body.jaxpr.invars[len(constants) :]]
    # Scan wants something to scan.
    rows = rows or [np.arange(params["length"], dtype=np.int32)]
    with builder.subgraph("round") as graph:
        given = _inputs(builder, avals)
        if len(given) == len(carry):
            builder.input("number", (), np.int32)
        for x in writer.run(body, [*constants, *given], (*here, 0)):
            builder.output(x, "result")
    count = len(equation.outvars)
    backwards = int(params["reverse"])
    return list(
        builder.ops(
            "Scan",
            count,
            *carry,
            *rows,
            body=graph,
            num_scan_inputs=len(rows),
            scan_input_directions=[backwards] * len(rows),
            scan_output_directions=[backwards] * (count - len(carry)),
        )
    )


def _inputs(builder: Any, avals: list[Any]) -> list[Operand]:
    return [builder.input("carried", aval.shape, aval.dtype) for aval in avals]


def _row(builder: Any, x: Operand, number: int) -> Operand:
    if is_known(x):
        row = np.asarray(x)[number]
        origin = builder.origin(x)
        if origin is not None:
            builder.name_origin(row, f"{origin}/{number}")
        return row
    return builder.op("Gather", x, np.asarray(number, np.int64), axis=0)


def _stacked(builder: Any, column: list[Operand], aval: Any) -> Operand:
    if not column:
        return np.zeros(aval.shape, aval.dtype)
    rows = [reshape(builder, x, (1, *aval.shape[1:])) for x in column]
    return builder.op("Concat", *rows, axis=0)


def _cond(
    writer: Any, equation: Any, inputs: list[Operand], here: Index
) -> list[Operand]:
    which, *operands = inputs
    count = len(bodies_of(equation))

    def branch(number: int) -> list[Operand]:
        body = bodies_of(equation)[number]
        outputs: list[Operand] = writer.run(body, operands, (*here, number))
        return outputs

    if is_known(which):
        return branch(int(np.clip(np.asarray(which), 0, count - 1)))

    def choice(number: int) -> list[Operand]:
        """Return what a branch gives if it is taken, else the choice of later ones."""
        if number == count - 1:
            return branch(number)
        builder = writer.builder
        graphs: list[Any] = []
        for write in (branch, choice):
            with builder.subgraph("branch") as graph:
                for x in write(number + len(graphs)):
                    builder.output(x, "result")
            graphs.append(graph)
        return list(
            builder.ops(
                "If",
                len(equation.outvars),
                builder.op("LessOrEqual", which, np.asarray(number, np.int32)),
                then_branch=graphs[0],
                else_branch=graphs[1],
            )
        )

    return choice(0)


def _while(
    writer: Any, equation: Any, inputs: list[Operand], here: Index
) -> list[Operand]:
    params, builder = equation.params, writer.builder
    first = params["cond_nconsts"]
    last = first + params["body_nconsts"]
    body, condition = bodies_of(equation)

    def goes_on(held: list[Operand]) -> Operand:
        return writer.run(condition, [*inputs[:first], *held], (*here, 1))[0]

    begins = goes_on(inputs[last:])
    with builder.subgraph("round") as graph:
        builder.input("number", (), np.int64)
        builder.input("begins", (), np.bool_)
        held = _inputs(builder, [variable.aval for variable in equation.outvars])
        held = writer.run(body, [*inputs[first:last], *held], (*here, 0))
        for x in (goes_on(held), *held):
            builder.output(x, "result")
    count = len(equation.outvars)
    return list(builder.ops("Loop", count, None, begins, *inputs[last:], body=graph))


CONTROL: dict[str, Control] = {"scan": _scan, "cond": _cond, "while": _while}
"""By primitive, what needs the writer to write bodies."""
