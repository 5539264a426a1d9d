"""Which operands are made of weights alone."""

from dataclasses import dataclass
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
        "split",
        "squeeze",
        "stack",
        "transpose",
    ]
)
"""What may be done to weights, which they remain."""

LOOPS = ("scan", "while", "cond")
"""What leaves them may be another's in another round or branch."""


@dataclass(frozen=True)
class Origin:
    """What a value is made of."""

    is_weight: bool
    """Of weights or constants, which were laid out anew at most."""

    is_fixed: bool
    """Of weights, constants and literals alone, whatever was computed of them."""


_DATA = Origin(is_weight=False, is_fixed=False)
_CONSTANT = Origin(is_weight=True, is_fixed=True)
_LITERAL = Origin(is_weight=False, is_fixed=True)

OperandIndex = tuple[Index, int]
"""Where an equation is, and which of its operands."""


def weight_operands(jaxpr: core.Jaxpr, is_weight: list[bool], /) -> set[OperandIndex]:
    """Return the operands of products that are made of weights alone."""
    found: set[OperandIndex] = set()
    given = [_CONSTANT if held else _DATA for held in is_weight]
    _outputs(jaxpr, given, (), found)
    return found


def _outputs(
    jaxpr: core.Jaxpr, inputs: list[Origin], index: Index, found: set[OperandIndex]
) -> list[Origin]:
    """Return what the outputs of a program are, and add its operands to `found`."""
    known = dict(zip(jaxpr.invars, inputs, strict=True))
    known.update(dict.fromkeys(jaxpr.constvars, _CONSTANT))

    def origin(atom: core.Var | core.Literal) -> Origin:
        return _LITERAL if isinstance(atom, core.Literal) else known[atom]

    for number, equation in enumerate(jaxpr.eqns):
        here = (*index, number)
        given = [origin(atom) for atom in equation.invars]
        name = equation.primitive.name
        is_fixed = all(one.is_fixed for one in given)
        made = [Origin(_is_laid_out(name, given), is_fixed)] * len(equation.outvars)
        if name in PRIMITIVES:
            found |= {(here, i) for i in range(2) if given[i].is_weight}
        for part, (body, held) in enumerate(bodies_with(equation, given, _DATA)):
            outputs = _outputs(body, held, (*here, part), found)
            if name not in LOOPS:
                made = outputs
        known.update(zip(equation.outvars, made, strict=True))
    return [origin(atom) for atom in jaxpr.outvars]


def _is_laid_out(name: str, given: list[Origin]) -> bool:
    """Return whether an equation makes weights of weights.

    A slice is one wherever a loop over layers has it begin; the rows that indices
    gather are data, such as embedded words, unless the indices are fixed.
    """
    if name not in LAYOUT or not given[0].is_weight:
        return False
    others_too = all(one.is_weight or one.is_fixed for one in given[1:])
    return others_too or name == "dynamic_slice"


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
