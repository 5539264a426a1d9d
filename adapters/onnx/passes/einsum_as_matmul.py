"""Write an Einsum that is a product of matrices as MatMul, which has integer kernels.

Operands are transposed where the equation has them otherwise: constants now, others by
a Transpose, which moves codes as well as floats. Axes of a constant that the equation
has several of, such as heads, are laid into one, and those of the result apart again.
"""

import numpy as np
import onnx_ir as ir

from qcore.adapters.onnx.graph.constants import array_of, is_constant
from qcore.adapters.onnx.graph.equations import Equation, equation_of
from qcore.adapters.onnx.graph.names import Names
from qcore.adapters.onnx.graph.replacement import Replacement


def einsum_as_matmul(model: ir.Model) -> ir.Model:
    """Return the model with MatMul in the place of every Einsum that is one."""
    names = Names(model.graph)
    for graph in model.graphs():
        for node in list(graph):
            equation = equation_of(node)
            if equation is not None:
                first, second = node.inputs
                if is_constant(first) and not is_constant(second):
                    first, second, equation = second, first, equation.swapped
                assert first is not None
                assert second is not None
                if _is_matmul(equation, second):
                    _replace(Replacement(graph, names, node), first, second, equation)
    return model


def _is_matmul(equation: Equation, second: ir.Value) -> bool:
    left, right, summed = (
        len(axes) for axes in (equation.left, equation.right, equation.summed)
    )
    if not (left and summed):
        return False
    if equation.batch:
        return left == right == summed == 1
    return is_constant(second) or (right <= 1 and summed == 1)


def _replace(new: Replacement, first: ir.Value, second: ir.Value, of: Equation) -> None:
    kept = [0] * len(of.left)  # for Reshape, 0 is what the extent was

    def ordered(x: ir.Value, axes: str, wanted: str) -> ir.Value:
        order = [axes.index(axis) for axis in wanted]
        return x if axes == wanted else new.add("Transpose", [x], {"perm": order})

    x = ordered(first, of.first, of.batch + of.left + of.summed)
    if len(of.summed) > 1:
        x = new.add("Reshape", [x, new.numbers("rows", [*kept, -1])])
    wanted = of.batch + of.summed + of.right
    extents: tuple[int, ...] = ()
    if is_constant(second):
        array = array_of(second)
        matrices = array.transpose([of.second.index(axis) for axis in wanted])
        if not of.batch:
            extents = matrices.shape[len(of.summed) :]
            inner = matrices.shape[: len(of.summed)]
            columns = (int(np.prod(extents)),) if extents else ()
            matrices = matrices.reshape(int(np.prod(inner)), *columns)
        if wanted != of.second or matrices.shape != array.shape:
            second = new.constant("matrix", matrices)
    else:
        second = ordered(second, of.second, wanted)
    result = new.add("MatMul", [x, second])
    product = new.nodes[-1]
    if len(of.right) > 1:
        result = new.add("Reshape", [result, new.numbers("columns", [*kept, *extents])])
    result = ordered(result, of.batch + of.left + of.right, of.result)
    new.finish(result, product, "Einsum")
