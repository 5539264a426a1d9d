"""What `QuantCalibrationOp` is told, checked before anything is collected.

AMCT's documentation and its source disagree on what may be given; here all that either
of them takes is taken, in the ranges that the documentation gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from array_api_compat import torch as xp

from qcore import Histogram, IntFormat, PerChannel, PerTensor, QuantSpec, compute_range
from qcore.errors import QuantError, nearest

QUANT_METHODS = ("kv_cache_quant",)

_GRANULARITIES: dict[int | str, PerTensor | PerChannel] = {
    **dict.fromkeys((0, "0", "per_tensor"), PerTensor()),
    **dict.fromkeys((1, "1", "per_channel"), PerChannel(-1)),
}
_BINS = (1024, 2048, 4096, 8192)
_BITS = range(8, 17)

_COMMON: dict[str, tuple[type, ...]] = {
    "act_algo": (str,),
    "num_bits": (int,),
    "with_offset": (bool,),
    "asymmetric": (bool,),
    "batch_num": (int,),
    "quant_granularity": (int, str),
}
_OWN: dict[str, dict[str, tuple[type, ...]]] = {
    "ifmr": {
        "max_percentile": (float, int),
        "min_percentile": (float, int),
        "search_range": (list, tuple),
        "search_step": (float, int),
    },
    "hfmg": {"num_of_bins": (int,)},
}
"""The parameters of each algorithm, with their types."""


class ConfigurationError(QuantError, RuntimeError):
    """A parameter is unknown, of another algorithm, or out of its range."""


class ConfigurationTypeError(ConfigurationError, TypeError):
    """A parameter is of a wrong type."""


@dataclass(frozen=True)
class QuantCalibrationConfig:
    """
    How a `QuantCalibrationOp` calibrates.

    Attributes
    ----------
    method : str
        ``"ifmr"`` or ``"hfmg"``.
    spec : QuantSpec
        Which codes the data gets.
    bins : int
        Resolution of the histograms.
    batch_num : int
        Batches that each layer's factors are made of.
    options : mapping
        Those of the method.
    """

    method: str = "ifmr"
    spec: QuantSpec = field(default_factory=lambda: QuantSpec(symmetric=False))
    bins: int = 2048
    batch_num: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, params: Mapping[str, Any] | None, /) -> Self:
        """
        Return the configuration that AMCT's parameters describe.

        Parameters
        ----------
        params : dict or None
            ``quant_algo_params``; what is left out is as the documentation says.

            act_algo : {"ifmr", "hfmg"}
                The algorithm.
            num_bits : int
                Width of the signed codes, 8 (AMCT's one) to 16.
            with_offset, asymmetric : bool
                Whether there are offsets, true by default; `asymmetric` wins.
            batch_num : int
                Positive, 1 by default.
            quant_granularity : {0, 1, "0", "1", "per_tensor", "per_channel"}
                Channels are the indices of the last axis.
            max_percentile, min_percentile, search_range, search_step
                Of "ifmr" alone; see `qcore.methods`.
            num_of_bins : {1024, 2048, 4096, 8192}
                Of "hfmg" alone, 4096 by default.

        Raises
        ------
        ConfigurationTypeError
            If a parameter is of a wrong type. It is a TypeError and a RuntimeError.
        ConfigurationError
            If one is unknown, of the other algorithm, or out of its range. It is a
            RuntimeError.
        """
        if not isinstance(params, Mapping | None):
            raise ConfigurationTypeError(
                f"`quant_algo_params` must be a dict or None; got {params!r}."
            )
        given = dict(params or {})
        method = _checked_method(given)
        for name, value in given.items():
            _check_type(name, value, method)
        _check_ranges(given)
        granularity = _GRANULARITIES[given.get("quant_granularity", 0)]
        has_offset = given.get("asymmetric", given.get("with_offset", True))
        spec = QuantSpec(
            IntFormat(given.get("num_bits", 8)),
            granularity=granularity,
            symmetric=not has_offset,
        )
        options = {name: x for name, x in given.items() if name in _OWN["ifmr"]}
        _check_options(method, options, spec)
        return cls(
            method=method,
            spec=spec,
            bins=given.get("num_of_bins", 4096 if method == "hfmg" else cls.bins),
            batch_num=given.get("batch_num", cls.batch_num),
            options=options,
        )


def check_quant_method(quant_method: object, /) -> None:
    """Raise unless AMCT writes factors in the way of that name."""
    if not isinstance(quant_method, str):
        raise ConfigurationTypeError(
            f"`quant_method` must be a string; got {quant_method!r}."
        )
    if quant_method not in QUANT_METHODS:
        raise ConfigurationError(
            f"`quant_method` must be one of {QUANT_METHODS}; got {quant_method!r}."
        )


def _checked_method(given: Mapping[str, Any]) -> str:
    method = given.get("act_algo", "ifmr")
    _check_type("act_algo", method, "ifmr")
    if method not in _OWN:
        raise ConfigurationError(
            f"`act_algo` must be one of {tuple(_OWN)}; got {method!r}."
        )
    return str(method)


def _check_type(name: str, value: object, method: str) -> None:
    """Raise unless a parameter is one of the algorithm, of one of its types."""
    own = _COMMON | _OWN[method]
    if name not in own:
        for other, parameters in _OWN.items():
            if name in parameters:
                raise ConfigurationError(
                    f"`{name}` must not be given when `act_algo` is {method!r}; it is "
                    f"a parameter of {other!r}."
                )
        raise ConfigurationError(
            f"{name!r} is no parameter of {method!r}; {nearest(str(name), own)}"
        )
    kinds = own[name]
    is_flag = isinstance(value, bool) and bool not in kinds  # a bool is an int too
    if is_flag or not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigurationTypeError(
            f"`{name}` must be of type {names}; got {value!r}."
        )


def _check_ranges(given: Mapping[str, Any]) -> None:
    """Raise unless the parameters that no method of qcore checks are in range."""
    if not given.get("batch_num", 1) > 0:
        raise ConfigurationError(
            f"`batch_num` must be positive; got {given['batch_num']}."
        )
    for name, allowed in (
        ("num_bits", _BITS),
        ("num_of_bins", _BINS),
        ("quant_granularity", tuple(_GRANULARITIES)),
    ):
        if name in given and given[name] not in allowed:
            raise ConfigurationError(
                f"`{name}` must be one of {tuple(allowed)}; got {given[name]!r}."
            )
    for factor in given.get("search_range", ()):
        if not isinstance(factor, float | int):
            raise ConfigurationTypeError(
                f"`search_range` must hold numbers; got {given['search_range']!r}."
            )


def _check_options(method: str, options: Mapping[str, Any], spec: QuantSpec) -> None:
    """Raise unless the method takes the options, which it alone knows the ranges of."""
    if not options:
        return
    nothing = Histogram.of(xp.zeros(1), bins=2, xp=xp)
    try:
        compute_range(nothing, spec, method, xp=xp, **options)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
