"""Choose how a model is quantized by what its own task says of the result."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any, TypeAlias

import onnx

from qcore.adapters.onnx.calibration import calibrate
from qcore.adapters.onnx.candidates import (
    Candidate,
    check_candidate,
    options_of,
    words_for,
)
from qcore.adapters.onnx.data.feeds import Data
from qcore.adapters.onnx.data.progress import Progress
from qcore.adapters.onnx.files.model_file import Source, load
from qcore.adapters.onnx.planning.planning import plan, plan_options
from qcore.adapters.onnx.quantization import quantize
from qcore.adapters.progress import terminal_bar
from qcore.errors import QuantError
from qcore.statistics import Statistics

Evaluate: TypeAlias = Callable[[onnx.ModelProto], float]
"""Gives the figure of merit of a model."""

FLOAT = "float"
"""What the model is called that was given."""


@dataclass(frozen=True)
class Trial:
    """How one model did.

    Attributes
    ----------
    name : str
        The candidate in words.
    options : mapping
        Those of `quantize` that it was made with, beside what all had in common.
    figure : float
        What ``evaluate`` gave.
    """

    name: str
    options: Mapping[str, Any]
    figure: float


@dataclass(frozen=True)
class Sweep:
    """What `sweep` found; ``str`` gives a table.

    Attributes
    ----------
    trials : tuple of Trial
        The best first.
    best : ModelProto
        The model of the first of them.
    unquantized : float
        The figure of the float model.
    """

    trials: tuple[Trial, ...]
    best: onnx.ModelProto
    unquantized: float

    def __str__(self) -> str:
        """Return a line for the float model and for each candidate."""
        rows = [(FLOAT, self.unquantized), *((t.name, t.figure) for t in self.trials)]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:{width}}  {figure:.6g}" for name, figure in rows)


def sweep(
    model: Source,
    statistics_or_data: Mapping[str, Statistics] | Data,
    candidates: Iterable[Candidate],
    evaluate: Evaluate,
    /,
    *,
    greater_is_better: bool = True,
    unquantized: float | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Sweep:
    """
    Return the best of several quantized models, and how each of them did.

    Data is gone through once, for all of them; one model is held beside the best.

    Parameters
    ----------
    model : path or ModelProto
        The float model.
    statistics_or_data : mapping, or data
        What `calibrate` gave, or data for it.
    candidates : iterable of str or mapping
        A method, ``"percentile:99.9"``, or options of `quantize` such as
        ``{"method": "mse", "exclude": ["head"]}``.
    evaluate : callable
        Called with a ModelProto, it returns a number. The float model is its first.
    greater_is_better : bool, optional
        Whether a greater number is better; of equal ones the earlier candidate is.
    unquantized : float, optional
        What it returns of the float model, if that is known.
    progress : callable, optional
        As of `calibrate`; it follows the data.
    **options
        Of `quantize`, for all candidates that do not say otherwise.

    Raises
    ------
    QuantError
        If there is no candidate, one of them is not what `quantize` takes, or
        `evaluate` raises or returns no number.
    """
    named = {words_for(own): own for own in map(options_of, candidates)}
    if not named:
        raise QuantError("`candidates` must hold at least one; it has none.")
    wanted = {name: {**options, **own} for name, own in named.items()}
    for name, every in wanted.items():
        check_candidate(name, every)
    if unquantized is None:
        given = model if isinstance(model, onnx.ModelProto) else load(model)
        unquantized = score(evaluate, given, FLOAT)
    statistics = statistics_or_data
    if not isinstance(statistics, Mapping):
        statistics = _collect(model, statistics, wanted.values(), progress)

    trials: list[Trial] = []
    best = None
    for name, own in terminal_bar(named.items(), "sweep", "model"):
        quantized = quantize(model, statistics, **wanted[name])
        trial = Trial(name, own, score(evaluate, quantized, name))
        trials.append(trial)
        if _ranked(trials, greater_is_better)[0] is trial:
            best = quantized
    assert best is not None
    return Sweep(tuple(_ranked(trials, greater_is_better)), best, unquantized)


def score(evaluate: Evaluate, model: onnx.ModelProto, name: str) -> float:
    """
    Return what a function gives for a model.

    Raises
    ------
    QuantError
        If it raises or gives no number; `name` tells of which model.
    """
    try:
        found = evaluate(model)
    except Exception as error:  # code of the user's, which may raise anything
        raise QuantError(
            f"`evaluate` must score the model {name!r}; it raises "
            f"{type(error).__name__}: {error}"
        ) from error
    try:
        figure = float("nan" if isinstance(found, str) else found)
    except (TypeError, ValueError):
        figure = float("nan")
    if isnan(figure):
        raise QuantError(
            f"`evaluate` must return a number; of the model {name!r} it returned "
            f"{found!r}."
        )
    return figure


def _ranked(trials: Sequence[Trial], greater_is_better: bool) -> list[Trial]:
    return sorted(trials, key=lambda t: -t.figure if greater_is_better else t.figure)


def _collect(
    model: Source,
    data: Data,
    candidates: Iterable[Mapping[str, Any]],
    progress: Progress | None,
) -> Mapping[str, Statistics]:
    """Return statistics of all that any of the candidates needs."""
    needed: dict[str, None] = {}
    keep_existing = False
    for options in candidates:
        chosen = plan_options(options)
        keep_existing |= chosen.get("keep_existing", False)
        needed |= dict.fromkeys(plan(model, **chosen).sources)
    return calibrate(
        model,
        data,
        tensors=list(needed),
        keep_existing=keep_existing,
        progress=progress,
    )
