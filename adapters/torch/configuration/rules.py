"""Rules that say which modules are quantized, and how; `reading` has the form."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from qcore.adapters.torch.configuration.axis_roles import with_axes
from qcore.adapters.torch.configuration.choices import (
    ModuleChoice,
    QuantizerChoice,
    float_class,
)
from qcore.adapters.torch.configuration.module_names import type_matches
from qcore.adapters.torch.configuration.presets import PRESETS
from qcore.adapters.torch.quantizer.descriptor import ScaledQuantDescriptor
from qcore.adapters.torch.rewriting.function_operands import operand_names
from qcore.errors import nearest

_SELECTORS = ("name", "type", "where")
_TENSORS = ("input", "weight", "output")
_KEYS = (*_SELECTORS, *_TENSORS, "functions", "preset", "skip")
_DESCRIPTOR_KEYS = (*(f.name for f in fields(ScaledQuantDescriptor)), "dynamic")

Keywords = Mapping[str, Any]


@dataclass(frozen=True)
class Rule:
    """One rule, checked.

    Attributes
    ----------
    label : str
        What it is called in messages.
    name, type : tuple of str
        Patterns of names and names of classes, any of which matches; empty for all.
    where : callable or None
        Called with name and module.
    tensors : mapping of str to keywords
        What is quantized, and how.
    functions : mapping of str to mapping of str to keywords
        Operands of functions likewise.
    skip : bool
        Whether what matches is left alone.
    """

    label: str
    name: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    where: Callable[[str, nn.Module], bool] | None = None
    tensors: Mapping[str, Keywords] = field(default_factory=dict)
    functions: Mapping[str, Mapping[str, Keywords]] = field(default_factory=dict)
    skip: bool = False

    def matches(self, name: str, module: nn.Module) -> bool:
        """Whether it says something of a module."""
        is_layer = float_class(module) is not None
        if not (self.skip or (self.tensors if is_layer else self.functions)):
            return False
        if self.name and not any(fnmatchcase(name, pattern) for pattern in self.name):
            return False
        if self.type and not any(type_matches(module, wanted) for wanted in self.type):
            return False
        return self.where is None or bool(self.where(name, module))

    def choice(self, module: nn.Module) -> ModuleChoice | None:
        """Return what it decides for a module that it matches."""
        if self.skip:
            return None
        if float_class(module) is None:
            return ModuleChoice(
                functions={
                    function: {
                        name: _quantizer(keywords, None, name)
                        for name, keywords in operands.items()
                    }
                    for function, operands in self.functions.items()
                }
            )
        return ModuleChoice(
            {of: _quantizer(given, module, of) for of, given in self.tensors.items()}
        )


@dataclass(frozen=True)
class RuleList:
    """Rules in order."""

    rules: tuple[Rule, ...]
    calibrates: bool = True

    @property
    def labels(self) -> tuple[str, ...]:
        """What the rules are called."""
        return tuple(rule.label for rule in self.rules)

    def choose(
        self, name: str, module: nn.Module
    ) -> tuple[ModuleChoice | None, frozenset[int]]:
        """Return what the first rule that matches decides, and its number."""
        for i, rule in enumerate(self.rules):
            if rule.matches(name, module):
                return rule.choice(module), frozenset([i])
        return None, frozenset()


def read_rules(given: Iterable[Any], /) -> RuleList:
    """
    Return rules from plain data.

    Raises
    ------
    TypeError, ValueError
        If a rule is not valid; names the rule and the key, and the nearest known one.
    """
    return RuleList(tuple(_rule(i, rule) for i, rule in enumerate(given, start=1)))


def _rule(number: int, given: Any) -> Rule:
    if not isinstance(given, Mapping):
        raise TypeError(f"rule {number} must be a mapping; got {type(given).__name__}.")
    selectors = [f"{key}={given[key]!r}" for key in _SELECTORS if key in given]
    label = " ".join([f"rule {number}", *(["of"] if selectors else []), *selectors])
    try:
        return _checked_rule(label, given)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{label}: {error}") from error


def _checked_rule(label: str, given: Mapping[str, Any]) -> Rule:
    _check_keys(given, _KEYS)
    rule = {**_preset(given.get("preset")), **given}
    where = rule.get("where")
    if where is not None and not callable(where):
        raise TypeError(f"`where` must be callable; got {where!r}.")
    tensors = {
        of: _keywords(rule[of], of) for of in _TENSORS if rule.get(of) is not None
    }
    functions = _functions(rule.get("functions") or {})
    skip = rule.get("skip", False)
    if not isinstance(skip, bool):
        raise TypeError(f"`skip` must be true or false; got {skip!r}.")
    if skip and (tensors or functions):
        raise ValueError("`skip` must be alone; the rule says how to quantize too.")
    if not (skip or tensors or functions):
        raise ValueError(
            "a rule must say `skip: true`, a `preset`, or how `input`, `weight`, "
            "`output` or `functions` are quantized; got none of these."
        )
    if functions and not any(rule.get(key) for key in _SELECTORS):
        raise ValueError("`functions` must be of modules selected by `name` or `type`.")
    names, types = (_patterns(key, rule.get(key)) for key in ("name", "type"))
    return Rule(label, names, types, where, tensors, functions, skip)


def _preset(name: Any) -> Mapping[str, Any]:
    if name is None:
        return {}
    if name not in PRESETS:
        raise ValueError(
            f"`preset` must be a known one; got {name!r}: {nearest(str(name), PRESETS)}"
        )
    return PRESETS[name]


def _patterns(key: str, given: Any) -> tuple[str, ...]:
    if given is None:
        return ()
    patterns = (given,) if isinstance(given, str) else given
    is_several = isinstance(patterns, list | tuple)
    if not (is_several and all(isinstance(pattern, str) for pattern in patterns)):
        raise TypeError(f"`{key}` must be a string or several; got {given!r}.")
    return tuple(patterns)


def _functions(given: Any) -> dict[str, dict[str, Keywords]]:
    """Return how each operand is quantized; a bare descriptor is that of all."""
    if not isinstance(given, Mapping):
        raise TypeError(f"`functions` must be a mapping; got {given!r}.")
    found = {}
    for function, how in given.items():
        names = operand_names(function)
        is_each = isinstance(how, Mapping) and not set(how).isdisjoint(names)
        operands = how if is_each else dict.fromkeys(names, how)
        _check_keys(operands, names, function)
        found[function] = {
            name: _keywords(keywords, name)
            for name, keywords in operands.items()
            if keywords is not None
        }
    return found


def _keywords(given: Any, of: str) -> Keywords:
    """Return keywords of a descriptor that is known to be valid."""
    if isinstance(given, ScaledQuantDescriptor):
        return given.dict()
    keywords = {"format": given} if isinstance(given, str) else given
    if not isinstance(keywords, Mapping):
        raise TypeError(
            f"`{of}` must be keywords of a descriptor or the name of a format; got "
            f"{given!r}."
        )
    _check_keys(keywords, _DESCRIPTOR_KEYS, of)
    _quantizer(keywords, None, of)
    return keywords


def _quantizer(
    keywords: Keywords, module: nn.Module | None, of: str
) -> QuantizerChoice:
    given = with_axes(keywords, module, of)
    is_dynamic = given.pop("dynamic", False)
    descriptor = ScaledQuantDescriptor(**given)
    if descriptor.num_bits != 0:
        descriptor.spec()  # raises if there is no such format
    if not descriptor.fake_quant:
        raise ValueError(f"`fake_quant` of `{of}` must be true in a module.")
    return QuantizerChoice(descriptor, bool(is_dynamic))


def _check_keys(given: Mapping[str, Any], known: Iterable[str], of: str = "") -> None:
    for key in given:
        if key not in known:
            place = f" of `{of}`" if of else ""
            raise ValueError(
                f"a key{place} must be a known one; got {key!r}: "
                f"{nearest(str(key), known)}"
            )
