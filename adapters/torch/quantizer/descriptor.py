"""How a tensor is to be quantized, in the words of pytorch-quantization.

`ScaledQuantDescriptor` takes every keyword of that package's, and more: what else
`qcore.QuantSpec` can say.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import yaml

from qcore.block_formats import BLOCK_FORMATS, block_spec
from qcore.formats import Format, IntFormat, parse_format
from qcore.granularity import Granularity, PerBlock, PerChannel, PerTensor
from qcore.methods.registry import find_method
from qcore.spec import QuantSpec
from qcore.statistics import Histogram, Range

_log = logging.getLogger(__name__)

E4M3_WIDTHS = (4, 3)
"""What `num_bits` is for float8_e4m3fn: the widths of its exponent and mantissa."""


@dataclass(frozen=True, eq=False)
class ScaledQuantDescriptor:
    """How a tensor is to be quantized.

    Parameters
    ----------
    num_bits : int or (4, 3), optional
        Width of the integers; 0 gives zeros. ``(4, 3)`` is float8_e4m3fn.
    name : str, optional
        A name for people.
    fake_quant : bool, optional
        Quantize and dequantize. If false, quantizers return codes as floats.
    axis : int or tuple of int, optional
        The axes that are **kept**: one scale for each index along them.
    amax : float, list or ndarray, optional
        Largest magnitude, fixed; its shape wins over `axis`. Where it is learned, the
        start.
    learn_amax : bool, optional
        Clip to a learnable range first (PACT, arXiv:1805.06085).
    scale_amax : float, optional
        Multiplies amax.
    calib_method : str, optional
        ``"max"``; ``"histogram"``, whose method is named when amax is loaded; one of
        `qcore.methods` that reads histograms, such as ``"mse"`` or ``"auto"``; or
        ``"output"``, of weights: `calibrate` then changes the layer's output least.
    unsigned : bool, optional
        Integers from 0.
    narrow_range : bool, optional
        Leave out the lowest integer.
    format : str, optional
        Name of a format, or of a block format such as ``"nvfp4"``; wins over
        `num_bits`, `unsigned` and `narrow_range`.
    symmetric : bool, optional
        Zero point 0. If false, both ends of the range are calibrated.
    block_sizes : dict of int to int, optional
        Axis and length of blocks that share a scale, instead of `axis`.
    rounding, scale_format, scale_rounding : str, optional
        As in `qcore.QuantSpec`.
    learn_scale : bool, optional
        Make the scale a parameter (LSQ, arXiv:1902.08153); it starts at `amax` or at
        what is calibrated.
    num_bins : int, optional
        Resolution of the histogram.
    calib_options : dict, optional
        Options of the method, such as ``{"percentile": 99.9}``.

    Raises
    ------
    TypeError, ValueError
        If a value is of the wrong type, or keywords are unknown or contradict.
    """

    num_bits: int | tuple[int, int] = 8
    name: str | None = None
    fake_quant: bool = True
    axis: int | tuple[int, ...] | None = None
    amax: Any = None
    learn_amax: bool = False
    scale_amax: float | None = None
    calib_method: str = "max"
    unsigned: bool = False
    narrow_range: bool = False
    format: str | None = None
    symmetric: bool = True
    block_sizes: Mapping[int, int] | None = None
    rounding: str = "half_even"
    scale_format: str | None = None
    scale_rounding: str | None = None
    learn_scale: bool = False
    num_bins: int = 2048
    calib_options: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Hold plain values, refuse what contradicts."""
        for field, parsed in {
            "num_bits": _num_bits(self.num_bits),
            "axis": _axis(self.axis),
            "amax": _amax(self.amax),
            "calib_method": _method(self.calib_method),
            "block_sizes": _block_sizes(self.block_sizes),
        }.items():
            object.__setattr__(self, field, parsed)
        if not isinstance(self.name, str | None):
            raise TypeError(f"`name` must be a string; got {type(self.name).__name__}.")
        for field in _BOOLEANS:
            given = getattr(self, field)
            if given not in (True, False):  # 1 and 0 are
                raise TypeError(f"`{field}` must be true or false; got {given!r}.")
        factor = self.scale_amax
        if factor is not None and not (isinstance(factor, float | int) and factor > 0):
            raise ValueError(f"`scale_amax` must be a positive number; got {factor!r}.")
        if self.num_bits == 0:
            _log.error("num_bits is 0, for debugging: all outputs will be zero.")
        self._check()

    def _check(self) -> None:
        if self.learn_amax and self.learn_scale:
            raise ValueError("`learn_amax` and `learn_scale` must not both be true.")
        if not self.fake_quant and (self.learn_amax or self.learn_scale):
            raise ValueError("`fake_quant` must be true where a range is learned.")
        if self.block_sizes is not None and self.axis is not None:
            raise ValueError("`axis` must be None where `block_sizes` is given.")
        if not self.symmetric and (self.amax is not None or self.learn_amax):
            raise ValueError(
                "`symmetric` must be true where amax is given or learned; both ends of "
                "an asymmetric range are calibrated."
            )
        # Widths of 0 and 1 can be described, as there, and say so when they are used.
        if self.format is not None or not isinstance(self.num_bits, int):
            self.spec()

    def spec(self, **changes: Any) -> QuantSpec:
        """
        Return the spec; `changes` are other values of `num_bits` and the like.

        Raises
        ------
        ValueError
            If there is no such format, or fields contradict.
        """
        given = {**vars(self), **changes}
        how = {n: given[n] for n in ("symmetric", "rounding", "scale_rounding")}
        name, granularity = self.format, self.granularity
        if name in BLOCK_FORMATS:
            axis = next(iter(self.block_sizes or {-1: 0}))
            made = block_spec(name, axis, scale_rounding=self.scale_rounding)
            blocks = granularity if self.block_sizes else made.granularity
            return QuantSpec(made.format, blocks, **how, scale_format=made.scale_format)
        fmt = format_of_bits(
            given["num_bits"], given["unsigned"], given["narrow_range"]
        )
        fmt = fmt if name is None else parse_format(name)
        return QuantSpec(fmt, granularity, **how, scale_format=self.scale_format)

    @property
    def granularity(self) -> Granularity:
        """Which elements share a scale."""
        if self.block_sizes is not None:
            ((axis, size),) = self.block_sizes.items()
            return PerBlock(axis, size)
        return PerTensor() if self.axis is None else PerChannel(self.axis)

    def dict(self) -> Mapping[str, Any]:
        """Return the keywords that differ from their defaults, in plain values."""
        defaults: dict[str, Any] = {field.name: field.default for field in fields(self)}
        found = {
            name: getattr(self, name)
            for name, default in defaults.items()
            if not np.array_equal(getattr(self, name), default)
        }
        return found | ({} if self.amax is None else {"amax": self.amax.tolist()})

    def to_yaml(self) -> str:
        """Return `dict` as YAML."""
        plain = {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in self.dict().items()
        }
        return str(yaml.safe_dump(plain, sort_keys=False))

    @classmethod
    def from_yaml(cls, yaml_str: str) -> Self:
        """
        Return the descriptor of a YAML text, as `to_yaml` writes it.

        Raises
        ------
        TypeError, ValueError
            If the text is no mapping, or as when the keywords are given.
        """
        given = {} if yaml_str is None else yaml.safe_load(yaml_str) or {}
        if not isinstance(given, Mapping):
            raise ValueError(
                f"`yaml_str` must be a mapping of keywords; got {type(given).__name__}."
            )
        return cls(**given)

    def __eq__(self, other: object) -> bool:
        """Whether all keywords are equal."""
        if not isinstance(other, ScaledQuantDescriptor):
            return NotImplemented
        return self.dict() == other.dict()

    def __hash__(self) -> int:
        """Return a hash of the keywords."""
        return hash(repr(self.dict()))

    def __repr__(self) -> str:
        """Return the call that makes it."""
        given = ", ".join(f"{key}={value!r}" for key, value in self.dict().items())
        return f"QuantDescriptor({given})"


QuantDescriptor = ScaledQuantDescriptor

_BOOLEANS = (
    *("fake_quant", "learn_amax", "unsigned", "narrow_range", "symmetric"),
    "learn_scale",
)


def format_of_bits(num_bits: Any, unsigned: bool, narrow_range: bool, /) -> Format:
    """Return the format that `num_bits` means; (4, 3) is float8_e4m3fn."""
    if num_bits == E4M3_WIDTHS:
        return parse_format("float8_e4m3fn")
    return IntFormat(num_bits, not unsigned, narrow_range and not unsigned)


def _num_bits(given: Any) -> int | tuple[int, int]:
    if isinstance(given, tuple | list) and tuple(given) == E4M3_WIDTHS:
        return E4M3_WIDTHS
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"`num_bits` must be an integer or (4, 3); got {given!r}.")
    if given < 0:
        raise ValueError(f"`num_bits` must not be negative; got {given}.")
    return given


def _axis(given: Any) -> int | tuple[int, ...] | None:
    return None if given is None else PerChannel(given).axis


def _amax(given: Any) -> np.ndarray | None:
    if given is None:
        return None
    kinds = (float, int, list, tuple, np.ndarray, np.floating)
    if not isinstance(given, kinds) or isinstance(given, bool):
        raise TypeError(
            f"amax must be float, list or ndarray; got {type(given).__name__}."
        )
    amax = np.array(given, dtype=np.float32)
    if (amax < 0).any():
        raise ValueError(f"`amax` must not be negative; got {amax.min()}.")
    return amax


def _method(given: Any) -> str:
    if given not in ("histogram", "output"):
        _check_statistics(given)
    return str(given)


def _check_statistics(method: str) -> None:
    """Refuse a method that reads neither histograms nor ranges."""
    found = find_method(method)
    if not {Histogram, Range} & set(found.needs):
        needs = " or ".join(kind.__name__ for kind in found.needs)
        raise TypeError(
            f"`calib_method` must be one that reads histograms; {method!r} needs "
            f"{needs}."
        )


def _block_sizes(given: Any) -> Mapping[int, int] | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) or len(given) != 1:
        raise TypeError(f"`block_sizes` must map one axis to a length; got {given!r}.")
    ((axis, size),) = given.items()
    blocks = PerBlock(axis, size)
    return {blocks.axis: blocks.size}
