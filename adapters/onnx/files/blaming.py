"""A sentence on the model that was given, where work on it fails."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import onnx
import onnx_ir as ir

from qcore.errors import QuantError

Taken = ParamSpec("Taken")
Prepared = TypeVar("Prepared")


def blames_the_model(
    prepare: Callable[Taken, Prepared],
) -> Callable[Taken, Prepared]:
    """
    Return a function of a model that fails with a sentence where that is invalid.

    Whether it is, onnx's checker tells, and whether it can be written again: asked only
    once something has failed, since there are models that work and do not please them.
    What they find no fault with deserves its traceback.
    """

    @wraps(prepare)
    def blaming(*given: Taken.args, **options: Taken.kwargs) -> Prepared:
        try:
            return prepare(*given, **options)
        except QuantError:
            raise
        except Exception as error:
            if fault := _fault(given[0]):
                raise QuantError(
                    f"`model` must be a valid ONNX model; it is not: {fault}"
                ) from error
            raise

    return blaming


def root(error: BaseException, /) -> BaseException:
    """Return what an error was first; onnx_ir tells where it was, layer after layer."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _fault(model: Any) -> str | None:
    """Return what is wrong with a model, if anything."""
    is_path = not isinstance(model, onnx.ModelProto)
    try:
        onnx.checker.check_model(str(model) if is_path else model, full_check=True)
        graph_only = onnx.load(model, load_external_data=False) if is_path else model
        ir.to_proto(ir.from_proto(graph_only))
    except Exception as error:  # those of bound C++ have no common base
        return str(root(error))
    return None
