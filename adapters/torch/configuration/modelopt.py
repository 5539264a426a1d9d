"""Configurations of TensorRT Model Optimizer: ``{"quant_cfg": …, "algorithm": …}``.

Each entry names quantizers by a pattern, such as ``"*weight_quantizer"``, and gives
attributes, which replace those of earlier entries, or switches them on or off. The
quantizers are called as there: `input_quantizer`, `weight_quantizer` and
`output_quantizer` of layers, `q_bmm_quantizer`, `k_bmm_quantizer` and `v_bmm_quantizer`
of modules whose class is called attention. Those of input and weight are on, with 8
bits per tensor, unless the configuration says otherwise.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from qcore.adapters.torch.configuration.choices import (
    ModuleChoice,
    QuantizerChoice,
    float_class,
)
from qcore.adapters.torch.configuration.modelopt_attributes import plain, quantizer_of
from qcore.adapters.torch.configuration.module_names import type_matches
from qcore.errors import nearest
from qcore.methods.registry import find_method

_KEYS = ("quant_cfg", "algorithm")
_ENTRY_KEYS = ("quantizer_name", "cfg", "enable", "parent_class")
_LAYER = {"input": "input_quantizer", "weight": "weight_quantizer"}
_OUTPUT = {"output": "output_quantizer"}
_ATTENTION = {
    "query": "q_bmm_quantizer",
    "key": "k_bmm_quantizer",
    "value": "v_bmm_quantizer",
}


@dataclass(frozen=True)
class Entry:
    """What is said of the quantizers that a pattern matches.

    Attributes
    ----------
    pattern : str
        Of their names.
    attributes : mapping or None
        Which they have from now on; None leaves them as they are.
    enable : bool
        Whether they are on.
    parent : str or None
        The class of the module they are in; None for any.
    """

    pattern: str
    attributes: Mapping[str, Any] | None
    enable: bool
    parent: str | None = None

    def matches(self, name: str, module: nn.Module) -> bool:
        """Whether it speaks of the quantizer of that name in a module."""
        is_parent = self.parent is None or type_matches(module, self.parent)
        return is_parent and fnmatchcase(name, self.pattern)


@dataclass(frozen=True)
class ModelOptConfig:
    """Entries in order, and how ranges are calibrated (None: not at all)."""

    entries: tuple[Entry, ...]
    method: str | None = "max"

    @property
    def labels(self) -> tuple[str, ...]:
        """What the entries are called."""
        return tuple(
            repr(e.pattern) if e.parent is None else f"{e.pattern!r} in {e.parent}"
            for e in self.entries
        )

    @property
    def calibrates(self) -> bool:
        """Whether there is an algorithm."""
        return self.method is not None

    def choose(
        self, name: str, module: nn.Module
    ) -> tuple[ModuleChoice | None, frozenset[int]]:
        """Return what all entries together decide, and which of them matched."""
        # An entry that only switches off is a precaution, not a mistake, if unused.
        used = {i for i, entry in enumerate(self.entries) if not entry.enable}

        def chosen(names: Mapping[str, str], is_on: bool) -> dict[str, QuantizerChoice]:
            found = {}
            for of, quantizer in names.items():
                full = f"{name}.{quantizer}".removeprefix(".")
                choice = self._choice(full, module, of, is_on, used)
                if choice is not None:
                    found[of] = choice
            return found

        if float_class(module) is not None:
            choice = ModuleChoice(chosen(_LAYER, True) | chosen(_OUTPUT, False))
        elif "attention" in type(module).__name__.lower():
            operands = chosen(_ATTENTION, False)
            choice = ModuleChoice(
                functions={"scaled_dot_product_attention": operands} if operands else {}
            )
        else:
            return None, frozenset(used)
        return (None if choice.is_empty() else choice), frozenset(used)

    def _choice(
        self, name: str, module: nn.Module, of: str, is_on: bool, used: set[int]
    ) -> QuantizerChoice | None:
        attributes: Mapping[str, Any] = {}
        for i, entry in enumerate(self.entries):
            if entry.matches(name, module):
                used.add(i)
                is_on = entry.enable
                if entry.attributes is not None:
                    attributes = entry.attributes
        if not is_on:
            return None
        try:
            return quantizer_of(attributes, self.method or "max", module, of)
        except (TypeError, ValueError) as error:
            raise type(error)(f"attributes of {name!r}: {error}") from error


def read_modelopt(config: Mapping[str, Any], /) -> ModelOptConfig:
    """
    Return a configuration of that toolkit, checked.

    Parameters
    ----------
    config : mapping
        `quant_cfg`: a mapping of patterns to attributes (``"default"`` is ``"*"``,
        ``"nn.Linear"`` maps patterns in that class), or a list of such mappings or of
        ``{"quantizer_name", "cfg", "enable", "parent_class"}``. Attributes are a
        mapping or a `QuantizerAttributeConfig`. `algorithm`: a method of `qcore`, or
        ``{"method": …}`` with its options; ``"max"`` if left out, None to calibrate
        nothing.

    Raises
    ------
    TypeError, ValueError
        If an attribute or the algorithm is one that we lack; names it and the pattern.
    """
    for key in config:
        if key not in _KEYS:
            raise ValueError(
                f"a key beside `quant_cfg` must be `algorithm`; got {key!r}."
            )
    given = config["quant_cfg"]
    if isinstance(given, Mapping):
        # There the default comes first, wherever in the mapping it stands.
        order = sorted(given, key=lambda pattern: pattern != "default")
        given = [{pattern: given[pattern]} for pattern in order]
    if not isinstance(given, list | tuple):
        raise TypeError(
            f"`quant_cfg` must be a mapping or a list; got {type(given).__name__}."
        )
    entries = tuple(entry for item in given for entry in _entries(plain(item)))
    method = _method(config.get("algorithm", "max"))
    for entry in entries:
        _check(entry, method)
    return ModelOptConfig(entries, method)


def _entries(given: Any) -> Iterator[Entry]:
    """Yield the entries of an item of the list, in any of its forms."""
    if not isinstance(given, Mapping) or not given:
        raise TypeError(f"an entry of `quant_cfg` must be a mapping; got {given!r}.")
    if "quantizer_name" in given:
        for key in given:
            if key not in _ENTRY_KEYS:
                raise ValueError(
                    f"a key of an entry of `quant_cfg` must be a known one; got "
                    f"{key!r}: {nearest(str(key), _ENTRY_KEYS)}"
                )
        attributes, enable = given.get("cfg"), given.get("enable", True)
        if attributes is None and "enable" not in given:
            raise ValueError(f"an entry must have `cfg` or `enable`; got {given!r}.")
        pattern, parent = given["quantizer_name"], given.get("parent_class")
        yield _entry(pattern, attributes, enable, parent)
        return
    for pattern, what in given.items():
        if pattern.startswith("nn."):
            for inner, attributes in plain(what).items():
                yield _entry(inner, attributes, True, pattern)
        else:
            yield _entry("*" if pattern == "default" else pattern, what, True, None)


def _entry(pattern: str, given: Any, enable: bool, parent: str | None) -> Entry:
    if given is None:
        return Entry(pattern, None, bool(enable), parent)
    if isinstance(given, list | tuple):
        if len(given) != 1:
            raise ValueError(
                f"attributes of {pattern!r} must be one set; got a sequence of "
                f"{len(given)}, and quantizing twice is not supported."
            )
        given = given[0]
    attributes = plain(given)
    if not isinstance(attributes, Mapping):
        raise TypeError(f"attributes of {pattern!r} must be a mapping; got {given!r}.")
    attributes = dict(attributes)
    enable = bool(attributes.pop("enable", enable)) and bool(enable)
    return Entry(pattern, attributes or None, enable, parent)


def _check(entry: Entry, method: str | None) -> None:
    """Refuse attributes that we lack, whichever layers there will be."""
    if entry.attributes is None or not entry.enable:
        return
    try:
        quantizer_of(entry.attributes, method or "max", None, "input")
    except (TypeError, ValueError) as error:
        raise type(error)(f"attributes of {entry.pattern!r}: {error}") from error


def _method(given: Any) -> str | None:
    """Return the method of an algorithm."""
    given = plain(given)
    options = dict(given) if isinstance(given, Mapping) else {"method": given}
    method: str | None = options.pop("method", None)
    if method is not None:
        try:
            find_method(method)
        except ValueError as error:
            raise type(error)(f"`algorithm`: {error}") from error
    for option, value in options.items():
        if value not in (None, False):
            raise ValueError(
                f"`algorithm` must have no option {option!r}; got {value}."
            )
    return method
