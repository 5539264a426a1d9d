"""What a state is but for its arrays, in plain data: for files and other processes."""

from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from typing import Any

from qcore.granularity import Granularity, PerBlock, PerChannel, PerTensor
from qcore.statistics.base import Statistics
from qcore.statistics.fixed_point import LIMBS
from qcore.statistics.gram import Gram
from qcore.statistics.histogram import slots_for
from qcore.statistics.tally import EXPONENTS
from qcore.statistics.top2 import SCALES
from qcore.statistics.window import Window

_GRANULARITIES = {kind.__name__: kind for kind in (PerTensor, PerChannel, PerBlock)}


def describe(state: Statistics, /) -> dict[str, Any]:
    """Return class, granularity and settings of a state, as JSON can hold them."""
    settings = {name: getattr(state, name) for name in state.static_fields()}
    granularity = settings.pop("granularity")
    if "window" in settings:
        settings["window"] = asdict(settings["window"])
    return {
        "class": type(state).__name__,
        "granularity": describe_granularity(granularity),
        "settings": settings,
    }


def described(
    description: Mapping[str, Any], /
) -> tuple[type[Statistics], dict[str, Any]]:
    """Return the class, and the fields that are no arrays, which `describe` told of.

    Raises
    ------
    LookupError, TypeError, ValueError, AttributeError
        If the description is not one of `describe`.
    """
    kinds = {kind.__name__: kind for kind in Statistics.__subclasses__()}
    settings = {
        **description["settings"],
        "granularity": described_granularity(description["granularity"]),
    }
    settings["extents"] = tuple(settings["extents"])
    if "window" in settings:
        settings["window"] = Window(**settings["window"])
    return kinds[description["class"]], settings


def array_shapes(
    cls: type[Statistics], settings: Mapping[str, Any], /
) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of a state of a class with such settings."""
    slots = slots_for(settings["bins"]) if "bins" in settings else 0
    rest = {
        "infs": (2,),
        "counts": (2, slots),
        "exponents": (2, EXPONENTS),
        "starts": (len(SCALES),),
        "ends": (len(SCALES),),
        "sums": (settings.get("order", 0), LIMBS),
    }
    channels, features = prod(settings["extents"]), settings.get("features", 0)
    if cls is Gram:
        rest |= {"products": (features, features), "sums": (features,)}
    return {field: (channels, *rest.get(field, ())) for field in cls.array_fields()}


def describe_granularity(granularity: Granularity, /) -> dict[str, Any]:
    """Return a granularity as JSON can hold it."""
    return {"class": type(granularity).__name__, **asdict(granularity)}


def described_granularity(description: Mapping[str, Any], /) -> Granularity:
    """Return the granularity that `describe_granularity` told of."""
    options = dict(description)
    kind = _GRANULARITIES[options.pop("class")]
    fixed: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    return kind(**fixed)
