"""Which sites are quantized and how, as plain data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from qcore import Histogram, PerBlock, PerChannel, PerTensor, QuantSpec
from qcore.adapters.jax.arguments import check_flag, check_names
from qcore.adapters.jax.program import FIRST_OF_SEVERAL, check_weights
from qcore.adapters.jax.sites import Site
from qcore.adapters.jax.statistics import Kind, kind_for
from qcore.errors import QuantError, nearest
from qcore.methods.registry import find_method

_KEYS = ("site", "weight", "activation", "skip")
_TENSOR_KEYS = (
    *("format", "symmetric", "axis", "block_size", "method", "options", "dynamic"),
    *("rounding", "scale_format", "scale_rounding", "bins", "statistics"),
)

MSE = "mse"
"""The method of activations by default."""

OUTPUT = "output"
"""The method of weights by default: the output of their site changes least."""

MINMAX = "minmax"
"""The method of weights whose range is that of their values in each call."""

DEFAULT: Sequence[Mapping[str, Any]] = (
    {
        "site": "*",
        "weight": {"format": "int8", "axis": "output", "method": OUTPUT},
        "activation": {"format": "int8", "symmetric": False, "method": MSE},
    },
)
"""Weights per output channel, activations per tensor with a zero point."""


@dataclass(frozen=True)
class Plan:
    """How a site is quantized.

    Attributes
    ----------
    site : Site
        Where.
    spec : QuantSpec
        How.
    method : str
        What chooses the range from statistics.
    options : tuple of (str, value)
        Of the method.
    dynamic : bool
        Whether the range is that of each tensor.
    bins : int
        Of the histogram.
    statistics : (class, options)
        What the method reads.
    """

    site: Site
    spec: QuantSpec
    method: str
    options: tuple[tuple[str, Any], ...] = ()
    dynamic: bool = False
    bins: int = 2048
    statistics: Kind = (Histogram, ())

    @property
    def is_collected(self) -> bool:
        """Whether the range is chosen from statistics."""
        return not (self.dynamic or self.site.is_weight)


@dataclass(frozen=True)
class Config:
    """
    Rules for sites; the first that matches is taken.

    Parameters
    ----------
    rules : sequence of mapping
        Each with ``site``, a pattern of names as in a shell; ``weight`` and
        ``activation``, what becomes of operands that are made of weights and of others;
        or ``skip: true``. What neither says stays as it is. A tensor has ``format``,
        ``symmetric``, ``axis`` (the kept ones, or ``"output"``), ``block_size`` (of
        blocks along the first axis that is summed), ``method``, ``options``,
        ``dynamic``, ``bins``, ``rounding``, ``scale_format``, ``scale_rounding`` and
        ``statistics``: what is collected for the method, ``"histogram"``, ``"range"``,
        ``"moving_range"``, ``"top2"`` or a mapping with one of these as its ``kind``
        and options of it beside, such as ``averaging_constant``.

        The method is ``"mse"`` by default. Of weights it is ``"output"``, see
        `qcore.qparams_from_weights`, where they are symmetric; ``"minmax"`` takes the
        range of their values in each call, which follows them in training.
    weights : int, str, sequence of these or None, optional
        Positions or names of the arguments that are weights; by default the first of
        those that hold arrays, if there are several, which else is data. Constants are
        weights, too.

    Raises
    ------
    ValueError, TypeError
        If a rule has an unknown key; names it and the nearest.
    """

    rules: Sequence[Mapping[str, Any]] = field(default=DEFAULT)
    weights: Any = FIRST_OF_SEVERAL

    def __post_init__(self) -> None:
        """Refuse keys that mean nothing."""
        check_weights(self.weights)
        rules: Any = [self.rules] if isinstance(self.rules, Mapping) else self.rules
        if not isinstance(rules, Sequence) or isinstance(rules, str):
            raise TypeError(
                "`rules` must be a mapping or a sequence of mappings; got "
                f"{type(rules).__name__}."
            )
        rules = list(rules)
        object.__setattr__(self, "rules", rules)
        for number, rule in enumerate(rules):
            _check(rule, _KEYS, f"rule {number}")
            if not isinstance(rule.get("site", "*"), str):
                raise TypeError(
                    f"'site' of rule {number} must be a pattern of names; got "
                    f"{rule['site']!r}."
                )
            check_flag(rule.get("skip", False), f"'skip' of rule {number}")
            for role in ("weight", "activation"):
                if rule.get(role) is not None:
                    _check(rule[role], _TENSOR_KEYS, f"rule {number}, {role!r}")
                    _check_method(role, rule[role])
                    _check_values(rule[role], f"of rule {number}, {role!r}")

    def __hash__(self) -> int:
        """Return a hash of the rules."""
        return hash(json.dumps(self.rules, sort_keys=True, default=str))

    def plans(self, sites: Sequence[Site], /) -> list[Plan]:
        """
        Return what is to be done at sites.

        Raises
        ------
        ValueError
            If a rule other than ``"*"`` matches none; names all such.
        QuantError
            If a site that shall be quantized is where it cannot be; names all such.
        """
        used: set[int] = set()
        found = []
        for site in sites:
            for number, rule in enumerate(self.rules):
                pattern = rule.get("site", "*")
                # A name may hold brackets, which in patterns mean something else.
                if site.name != pattern and not fnmatchcase(site.name, pattern):
                    continue
                used.add(number)
                wanted = rule.get("weight" if site.is_weight else "activation")
                if wanted is not None and not rule.get("skip"):
                    found.append(_plan(site, wanted))
                break
        idle = [
            rule["site"]
            for number, rule in enumerate(self.rules)
            if number not in used and rule.get("site", "*") != "*"
        ]
        if idle:
            raise ValueError(
                "every pattern must match a site that no earlier rule does; "
                f"{', '.join(map(repr, idle))} match none of {len(sites)}, such as "
                f"{', '.join(site.name for site in sites[:3])}."
            )
        hidden = [plan.site for plan in found if plan.site.inside]
        if hidden:
            names = ", ".join(f"{site.name} in {site.inside}" for site in hidden)
            raise QuantError(
                "sites must not be inside of primitives that cannot be rebuilt; got "
                f"{names}. Skip them by a rule."
            )
        return found


def as_config(given: Any, /) -> Config:
    """Return a configuration of rules, of one, or of none: the default."""
    if given is None:
        return Config()
    return given if isinstance(given, Config) else Config(given)


def _check(given: Any, known: tuple[str, ...], place: str) -> None:
    if not isinstance(given, Mapping):
        raise TypeError(f"{place} must be a mapping; got {type(given).__name__}.")
    for key in given:
        if key not in known:
            hint = nearest(str(key), known)
            raise ValueError(f"keys of {place} must be known; got {key!r}: {hint}")


def _check_values(wanted: Mapping[str, Any], place: str) -> None:
    check_flag(wanted.get("dynamic", False), f"'dynamic' {place}")
    if wanted.get("options") is not None:
        check_names(wanted["options"], f"'options' {place}", "names of options")


def _check_method(role: str, wanted: Mapping[str, Any]) -> None:
    if role == "activation":
        kind_for(wanted.get("method", MSE), wanted.get("statistics"), 2)
    elif wanted.get("method", OUTPUT) != OUTPUT:
        find_method(wanted["method"])


def _plan(site: Site, wanted: Mapping[str, Any]) -> Plan:
    axis = wanted.get("axis")
    granularity: Any = PerTensor()
    if size := wanted.get("block_size"):
        summed = [a for a in range(len(site.shape)) if a not in site.output_axes]
        granularity = PerBlock(summed[0], size)
    elif axis == "output":
        granularity = PerChannel(site.output_axes) if site.output_axes else PerTensor()
    elif axis is not None:
        granularity = PerChannel(axis)
    names = ("symmetric", "rounding", "scale_format", "scale_rounding")
    spec = QuantSpec(
        wanted.get("format", "int8"),
        granularity,
        **{name: wanted[name] for name in names if name in wanted},
    )
    of_weight = OUTPUT if spec.symmetric else MINMAX
    method = wanted.get("method", of_weight if site.is_weight else MSE)
    bins = wanted.get("bins", 2048)
    return Plan(
        site,
        spec,
        method,
        tuple(sorted((wanted.get("options") or {}).items())),
        bool(wanted.get("dynamic", False)),
        bins,
        (Histogram, ())
        if site.is_weight
        else kind_for(method, wanted.get("statistics"), bins),
    )
