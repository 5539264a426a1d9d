"""Choose parameters by name: to freeze them, or to train each group its own way.

Patterns are regular expressions that may match anywhere in a parameter's name.
"""

import logging
import re
from collections.abc import Iterator, Sequence, Sized
from typing import Any

import torch

from qcore.adapters.torch.given_model import check_model

_logger = logging.getLogger(__name__)


def match_parameters(
    model: torch.nn.Module, patterns: Sequence[str]
) -> Iterator[torch.nn.Parameter]:
    """
    Return a generator of the parameters whose name one of the patterns matches.

    Parameters
    ----------
    model : Module
        Its parameters come in their order, each once.
    patterns : list of str
        Regular expressions.

    Raises
    ------
    TypeError
        If `patterns` is no list of strings, such as a string, whose letters would be
        the patterns; or `model` no module.
    ValueError
        If a pattern is no regular expression.
    """
    return (parameter for _, parameter in _matching(model, patterns))


def group_parameters(
    model: torch.nn.Module,
    patterns_list: Sequence[Sequence[str]],
    lrs: Sequence[float] | None = None,
    momentums: Sequence[float] | None = None,
    weight_decays: Sequence[float] | None = None,
) -> list[dict[str, Any]]:
    """
    Return the groups of parameters that an optimizer takes.

    Parameters
    ----------
    model : Module
        Whose parameters are grouped; those that no pattern matches are left out.
    patterns_list : list of list of str
        The patterns of each group. They must exclude each other, which is not checked
        here; optimizers refuse a parameter that is in two groups.
    lrs, momentums, weight_decays : list of float, optional
        The option of each group.

    Returns
    -------
    list of dict
        ``"params"``, a list, and ``"lr"``, ``"momentum"`` and ``"weight_decay"`` where
        given.

    Raises
    ------
    TypeError
        If the patterns of a group are no list, an option does not have one value for
        each group, or `model` is no module.
    ValueError
        If a pattern is no regular expression.
    """
    if not isinstance(patterns_list, list | tuple) or not all(
        isinstance(patterns, list | tuple) for patterns in patterns_list
    ):
        raise TypeError(
            f"`patterns_list` must be a list of lists of patterns; got {patterns_list}."
        )
    options = {"lr": lrs, "momentum": momentums, "weight_decay": weight_decays}
    for name, values in options.items():
        if values is None:
            continue
        if not (isinstance(values, Sized) and len(values) == len(patterns_list)):
            got = len(values) if isinstance(values, Sized) else repr(values)
            raise TypeError(
                f"`{name}s` must have one value for each of the {len(patterns_list)} "
                f"groups; got {got}."
            )
    return [
        {"params": list(match_parameters(model, patterns))}
        | {name: values[i] for name, values in options.items() if values is not None}
        for i, patterns in enumerate(patterns_list)
    ]


def freeze_parameters(model: torch.nn.Module, patterns: Sequence[str]) -> None:
    """
    Let the parameters whose name one of the patterns matches no longer be trained.

    Parameters
    ----------
    model : Module
        Its parameters' ``requires_grad`` is set to False; the log names them.
    patterns : list of str
        Regular expressions.

    Raises
    ------
    TypeError
        If `patterns` is no list of strings, or `model` no module.
    ValueError
        If a pattern is no regular expression.
    """
    for name, parameter in _matching(model, patterns):
        _logger.info("Freeze %s.", name)
        parameter.requires_grad = False


def quant_weight_inplace(model: torch.nn.Module) -> None:
    """
    Replace weights by what their quantizers make of them (relax and round).

    Training with straight-through gradients relaxes a discrete problem; this rounds the
    solution.

    Parameters
    ----------
    model : Module
        Each module in it that has a `weight` and a `weight_quantizer` is changed; the
        log names them, and warns of a quantizer that leaves integers.

    Raises
    ------
    TypeError
        If `model` is no module.
    """
    check_model(model)
    for name, module in model.named_modules():
        quantizer = getattr(module, "weight_quantizer", None)
        weight = getattr(module, "weight", None)
        if quantizer is None or weight is None:
            continue
        if not getattr(quantizer, "fake_quant", True):
            _logger.warning("The weight of %s is replaced by integers.", name)
        _logger.info("Quantize the weight of %s in place.", name)
        with torch.no_grad():
            weight.copy_(quantizer(weight))


def _matching(
    model: torch.nn.Module, patterns: Sequence[str]
) -> list[tuple[str, torch.nn.Parameter]]:
    """Return names and parameters that a pattern matches."""
    check_model(model)
    is_several = isinstance(patterns, list | tuple | set | frozenset)
    if not (is_several and all(isinstance(pattern, str) for pattern in patterns)):
        raise TypeError(f"`patterns` must be a list of strings; got {patterns!r}.")
    expressions = [_expression(pattern) for pattern in patterns]
    return [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if any(expression.search(name) for expression in expressions)
    ]


def _expression(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"a pattern must be a regular expression; got {pattern!r}: {error}."
        ) from error
