"""Which operands are made of weights alone."""

from typing import TypeVar

from jax.extend import core

from qcore.adapters.jax.interpreter import Index
from qcore.adapters.jax.kinds import bodies_of

Known = TypeVar("Known")
"""What is known of the inputs of a program."""

PRIMITIVES = frozenset({"dot_general", "conv_general_dilated"})
"""Whose operands are quantized."""

LAYOUT = frozenset(
    [
        "broadcast_in_dim",
        "concatenate",
        "convert_element_type",
        "copy",
        "dynamic_slice",
        "expand_dims",
        "gather",
        "pad",
        "pbroadcast",
        "pcast",
        "pvary",
        "reshape",
        "reshard",
        "rev",
        "sharding_constraint",
        "slice",
        "squeeze",
        "transpose",
    ]
)
"""What may be done to weights, which they remain."""

_LOOPS = ("scan", "while", "cond")
"""What leaves them may be another's in another round or branch."""


def weight_operands(
    jaxpr: core.Jaxpr, is_weight: list[bool], /
) -> set[tuple[Index, int]]:
    """Return index and operand of what is made of weights alone."""
    found: set[tuple[Index, int]] = set()
    _outputs(jaxpr, is_weight, (), found)
    return found


def _outputs(
    jaxpr: core.Jaxpr,
    is_weight: list[bool],
    index: Index,
    found: set[tuple[Index, int]],
) -> list[bool]:
    """Return which outputs of a program are weights, and add its operands to `found`.

    The constants of the program are weights.
    """
    known = dict(zip(jaxpr.invars, is_weight, strict=True))
    known.update(dict.fromkeys(jaxpr.constvars, True))

    def holds(atom: core.Var | core.Literal) -> bool:
        return not isinstance(atom, core.Literal) and known.get(atom, False)

    for number, equation in enumerate(jaxpr.eqns):
        here = (*index, number)
        given = [holds(atom) for atom in equation.invars]
        name = equation.primitive.name
        if name in PRIMITIVES:
            found |= {(here, i) for i in range(2) if given[i]}
        elif name in LAYOUT:
            known[equation.outvars[0]] = _is_laid_out(equation, given)
        else:
            for part, (body, inputs) in enumerate(bodies_with(equation, given, False)):
                made = _outputs(body, inputs, (*here, part), found)
                if name not in _LOOPS:
                    known.update(zip(equation.outvars, made, strict=True))
    return [holds(atom) for atom in jaxpr.outvars]


def _is_laid_out(equation: core.JaxprEqn, given: list[bool]) -> bool:
    """Return whether an equation makes weights of weights.

    A slice is one wherever a loop over layers has it begin; the rows that indices
    gather are data, such as embedded words, unless the indices are constant.
    """
    if equation.primitive.name == "dynamic_slice":
        return given[0]
    return given[0] and all(
        held or isinstance(atom, core.Literal)
        for atom, held in zip(equation.invars, given, strict=True)
    )


def bodies_with(
    equation: core.JaxprEqn, given: list[Known], unknown: Known, /
) -> list[tuple[core.Jaxpr, list[Known]]]:
    """Return the programs inside of an equation, each with what its inputs are.

    `unknown` is said of what a loop carries.
    """
    name = equation.primitive.name
    bodies = [body.jaxpr for body in bodies_of(equation)]
    if name == "while":
        first = equation.params["cond_nconsts"]
        last = first + equation.params["body_nconsts"]
        carry = [unknown for _ in given[last:]]
        inputs = [[*given[first:last], *carry], [*given[:first], *carry]]
        return list(zip(bodies, inputs, strict=True))
    if name == "cond":
        given = given[1:]
    elif name == "scan":
        first = equation.params["num_consts"]
        last = first + equation.params["num_carry"]
        given = [*given[:first], *(unknown for _ in given[first:last]), *given[last:]]
    return [(body, given) for body in bodies]
