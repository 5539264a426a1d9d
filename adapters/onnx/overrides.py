"""What the user wants of single tensors, other than of the rest."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qcore import QuantSpec, parse_format
from qcore.adapters.onnx.planning.selection import matches_any
from qcore.adapters.onnx.recipe import Recipe
from qcore.adapters.onnx.targets import Target
from qcore.adapters.onnx.weights import WeightSpec
from qcore.adapters.onnx_formats import type_of
from qcore.errors import QuantError


@dataclass(frozen=True)
class Override:
    """What is not as for the other tensors; ``None`` is as for these.

    Attributes
    ----------
    format : str or None
        Of the codes.
    symmetric : bool or None
        Whether the zero point is 0.
    method : str or None
        How the range is chosen.
    options : mapping
        Of that method.
    """

    format: str | None = None
    symmetric: bool | None = None
    method: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def activation(self, recipe: Recipe, target: Target) -> Recipe:
        """Return how an activation is quantized, given how the others are."""
        spec = recipe.spec
        if self.format is not None or self.symmetric is not None:
            symmetric = spec.symmetric if self.symmetric is None else self.symmetric
            # A change of symmetry alone leaves the codes to the target.
            own = self.format or (spec.format.name if self.symmetric is None else None)
            spec = target.activation_spec(own, symmetric)
        if self.method is None:
            return replace(
                recipe, spec=spec, options={**recipe.options, **self.options}
            )
        return Recipe(spec, self.method, self.options)

    def weight(
        self, spec: WeightSpec, target: Target, of_input: QuantSpec
    ) -> WeightSpec:
        """Return how a weight is quantized, given how the others and its input are."""
        if self.symmetric is False:
            raise QuantError("weights have zero points of 0.")
        codes = spec.codes
        if self.format is not None:
            codes = target.weight_codes(self.format, of_input)
        method = spec.method if self.method is None else self.method
        return replace(spec, codes=codes, method=method, options=self.options)


Overrides = Mapping[str, Override]
"""By pattern; the first that fits a name holds."""


def parse_overrides(given: Mapping[str, Mapping[str, Any]], /) -> Overrides:
    """
    Return what was asked of single tensors.

    Parameters
    ----------
    given : mapping
        By name or pattern: ``format``, ``symmetric``, ``method`` and its options, or
        ``range``, the ends of the range.

    Raises
    ------
    TypeError
        If it is no mapping of mappings.
    QuantError
        If a range comes with a method.
    """
    if not isinstance(given, Mapping):
        raise TypeError(
            "`overrides` must be a mapping of tensors to what is to be done; "
            f"got {type(given).__name__}."
        )
    for pattern in given:
        if not isinstance(pattern, str):
            raise TypeError(f"`overrides` must be by name; got {pattern!r}.")
    return {pattern: _parsed(pattern, wanted) for pattern, wanted in given.items()}


def _parsed(pattern: str, given: Any) -> Override:
    if not isinstance(given, Mapping):
        raise TypeError(
            f"`overrides` of {pattern!r} must be a mapping, such as "
            f"{{'method': 'minmax'}}; got {given!r}."
        )
    options = dict(given)
    known = {
        name: options.pop(name, None) for name in ("format", "symmetric", "method")
    }
    if "range" in options:
        if known["method"] is not None:
            raise QuantError(
                f"`overrides` of {pattern!r} must have a range or a method; got both."
            )
        known["method"] = "constant"
        options["ends"] = _ends(pattern, options.pop("range"))
    return Override(**known, options=options)


def _ends(pattern: str, given: Any) -> tuple[float, float]:
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        raise QuantError(
            f"`overrides` of {pattern!r}: a range must be two numbers; got {given!r}."
        ) from None
    return low, high


def override_of(name: str, overrides: Overrides, /) -> Override | None:
    """Return what was asked of a tensor, if anything was."""
    fits = (o for pattern, o in overrides.items() if matches_any(name, [pattern]))
    return next(fits, None)


def opset_of(overrides: Overrides, /) -> int:
    """Return the first opset that has the formats that were asked for, or 0."""
    formats = [o.format for o in overrides.values() if o.format is not None]
    return max((type_of(parse_format(name)).opset for name in formats), default=0)
