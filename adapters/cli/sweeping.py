"""Methods tried one after the other, and judged by a function of the user's own."""

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from qcore.adapters import onnx
from qcore.adapters.cli.arguments import method_options
from qcore.adapters.cli.candidates import CANDIDATES
from qcore.adapters.cli.errors import BadInputError
from qcore.adapters.cli.own_code import find_function
from qcore.adapters.cli.table import table
from qcore.adapters.onnx.candidates import check_candidate, options_of
from qcore.adapters.onnx.sweeping import FLOAT, score
from qcore.statistics import Statistics


@dataclass(frozen=True)
class Judge:
    """The function that scores models, and what it says of the float one."""

    evaluate: Callable[..., Any]
    unquantized: float


def find_judge(arguments: Namespace) -> Judge | None:
    """
    Return what --evaluate names; the float model is scored to try it.

    Raises
    ------
    BadInputError
        If there is no such function, or the arguments contradict each other.
    QuantError
        If it raises or gives no number, or a method is unknown.
    """
    named = arguments.evaluate
    if not named:
        if arguments.methods or arguments.lowest:
            raise BadInputError("--methods and --lowest must come with --evaluate.")
        return None
    if not (arguments.data or arguments.reader or arguments.statistics):
        raise BadInputError("--evaluate must come with samples or statistics.")
    if arguments.method != "mse" or method_options(arguments):
        raise BadInputError(
            "--evaluate must come with --methods rather than with --method and its "
            "options."
        )
    for candidate in arguments.methods or CANDIDATES:
        check_candidate(candidate, options_of(candidate))
    function = find_function("--evaluate", named, "score a model")
    return Judge(function, score(function, onnx.load(arguments.model), FLOAT))


def choose(
    judge: Judge,
    arguments: Namespace,
    statistics: Mapping[str, Statistics],
    options: Mapping[str, Any],
) -> onnx.Sweep:
    """Return the best of the models that the methods give."""
    return onnx.sweep(
        arguments.model,
        statistics,
        arguments.methods or CANDIDATES,
        judge.evaluate,
        greater_is_better=not arguments.lowest,
        unquantized=judge.unquantized,
        **options,
    )


def scores(found: onnx.Sweep) -> Iterator[str]:
    """Yield a table, the best first."""
    rows = [(FLOAT, f"{found.unquantized:.6g}")]
    rows += [(trial.name, f"{trial.figure:.6g}") for trial in found.trials]
    yield from table(("method", "score"), rows)
