"""Ways to quantize a model, of which the best shall be chosen."""

from collections.abc import Mapping
from inspect import signature
from typing import Any, TypeAlias

from qcore import QuantSpec
from qcore.adapters.onnx.quantization import quantize
from qcore.adapters.onnx.recipe import Recipe
from qcore.errors import QuantError

Candidate: TypeAlias = str | Mapping[str, Any]
"""A method, ``"percentile:99.9"``, or options of `quantize`."""


def options_of(candidate: Candidate) -> Mapping[str, Any]:
    """
    Return the options of `quantize` that a candidate stands for.

    Raises
    ------
    QuantError
        If it is none.
    """
    if isinstance(candidate, Mapping):
        return candidate
    if not isinstance(candidate, str):
        raise QuantError(
            "a candidate must be a method or options of `quantize`; "
            f"got {type(candidate).__name__}."
        )
    method, colon, share = candidate.partition(":")
    if not colon:
        return {"method": method}
    try:
        percentile = float(share)
    except ValueError:
        method = ""
    if method != "percentile":
        raise QuantError(
            "a candidate must be a method, or percentile and a number such as "
            f"'percentile:99.9'; got {candidate!r}."
        )
    return {"method": method, "percentile": percentile}


def words_for(options: Mapping[str, Any]) -> str:
    """Return the words for options, ``percentile:99.9`` for that method alone."""
    if list(options) == ["method"]:
        return str(options["method"])
    if list(options) == ["method", "percentile"]:
        return f"{options['method']}:{options['percentile']:g}"
    return ", ".join(f"{key}={value}" for key, value in options.items())


def check_candidate(name: str, options: Mapping[str, Any]) -> None:
    """
    Refuse a method or its options before minutes are spent on other candidates.

    Raises
    ------
    QuantError
        If the method is unknown or has no such option.
    """
    known = signature(quantize).parameters
    method = options.get("method", "mse")
    own = {key: value for key, value in options.items() if key not in known}
    try:
        Recipe(QuantSpec(), method, own).check()
    except (TypeError, ValueError) as error:
        raise QuantError(f"the candidate {name!r} cannot be: {error}") from error
