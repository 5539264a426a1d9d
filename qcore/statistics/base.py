"""What all statistics share: rows of a granularity, checks before merging, moving."""

from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from typing import Any, ClassVar, Self

from qcore.arithmetic import broadcast, check_floating, dtype_name
from qcore.granularity import Granularity, PerTensor
from qcore.libraries import arithmetic, detached, library_name, namespace, one_device
from qcore.transfer import from_host, to_host, transfer
from qcore.typing import Array, Device, Namespace


def static(**options: Any) -> Any:
    """Return a dataclass field that is part of the state's type, not an array."""
    return field(metadata={"static": True}, **options)


@dataclass(frozen=True, eq=False, kw_only=True)
class Statistics:
    """Arrays with one entry for each scale, and what they were collected for.

    Attributes
    ----------
    min, max : array
        float32 ``[C]``, of the finite values; ``inf`` and ``-inf`` if there was none.
    nans : array
        int64 ``[C]``.
    infs : array
        int64 ``[C, 2]``, negative ones first.
    granularity : granularity
        Which elements share an entry.
    extents : tuple of int
        Shape of the scales; ``()`` per tensor, where data of any rank is taken.
    """

    min: Array
    max: Array
    nans: Array
    infs: Array
    granularity: Granularity = static()
    extents: tuple[int, ...] = static()

    counted: ClassVar[tuple[str, ...]] = ("nans", "infs")
    """Fields that add when states merge."""

    @classmethod
    def array_fields(cls) -> tuple[str, ...]:
        """Return the names of the fields that hold arrays."""
        return tuple(f.name for f in fields(cls) if not f.metadata.get("static"))

    @classmethod
    def static_fields(cls) -> tuple[str, ...]:
        """Return the names of the fields that are part of the state's type."""
        return tuple(f.name for f in fields(cls) if f.metadata.get("static"))

    @property
    def xp(self) -> Namespace:
        """The namespace of the state's arrays."""
        return namespace(self.min)

    @property
    def channels(self) -> int:
        """How many entries there are (C)."""
        return int(self.min.shape[-1])

    @property
    def nonfinite(self) -> Array:
        """How many values were NaN or infinite, int64 ``[C]``."""
        xp = self.xp
        with arithmetic(xp):
            return self.nans + xp.sum(self.infs, axis=-1)

    def merge(self, other: Self, /) -> Self:
        """
        Return the statistics of all values that either state has seen.

        Parameters
        ----------
        other : statistics
            Of the same class, bins, granularity, extents, library and device.

        Returns
        -------
        statistics
            Bit for bit what one state that saw all the values would be.

        Raises
        ------
        ValueError
            If the two were not collected alike; it names the first difference.
        TypeError
            If `other` is not a statistic.
        """
        self._check_alike(other)
        xp = self.xp
        with arithmetic(xp):
            return self._merged(other, xp=xp)

    def _merged(self, other: Self, *, xp: Namespace) -> Self:
        sums = {
            name: getattr(self, name) + getattr(other, name) for name in self.counted
        }
        return replace(
            self,
            min=xp.minimum(self.min, other.min),
            max=xp.maximum(self.max, other.max),
            **sums,
        )

    def _check_alike(self, other: Any) -> None:
        if not isinstance(other, Statistics):
            raise TypeError(f"`other` must be statistics; got {type(other).__name__}.")
        for what, mine, theirs in self._differences(other):
            if mine != theirs:
                raise ValueError(
                    f"statistics must share their {what}; got {mine} and {theirs}."
                )

    def _check_data(self, x: Array) -> Namespace:
        """Return the namespace of data, which must be of the state's kind.

        Raises
        ------
        ValueError
            If the extents, library or device of `x` are not those of the state.
        TypeError
            If `x` is not floating-point.
        """
        xp = namespace(x)
        check_floating(x)
        for what, mine, theirs in (
            ("extents", self.extents, state_extents(self.granularity, x.shape)),
            ("library", library_name(self.xp), library_name(xp)),
            *_devices(self.min, x),
        ):
            if mine != theirs:
                raise ValueError(
                    f"statistics must share their {what}; got {mine} and {theirs}."
                )
        return xp

    def _differences(self, other: "Statistics") -> list[tuple[str, Any, Any]]:
        pairs = [("class", type(self).__name__, type(other).__name__)]
        if type(self) is type(other):
            pairs += [
                (name, getattr(self, name), getattr(other, name))
                for name in self.static_fields()
            ]
        pairs += [
            ("library", library_name(self.xp), library_name(other.xp)),
            *_devices(self.min, other.min),
        ]
        return pairs

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by way of the host, to the library's default device.

        JAX itself would restore int64 as int32.
        """
        xp = self.xp
        values = {
            name: to_host(getattr(self, name), xp=xp) for name in self.array_fields()
        }
        settings = {name: getattr(self, name) for name in self.static_fields()}
        return _restored, (type(self), xp.__name__, values, settings)

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        """Return the state itself: it never changes."""
        return self

    def to(self, xp: Namespace, device: Device | None = None) -> Self:
        """
        Return the same state on another library or device.

        Parameters
        ----------
        xp : namespace
            Where to, such as the module ``torch`` or ``jax.numpy``.
        device : device, optional
            One of that library; its default if not given.
        """
        moved = {
            name: transfer(getattr(self, name), xp, device)
            for name in self.array_fields()
        }
        return replace(self, **moved)


def _restored(
    cls: type[Statistics],
    library: str,
    values: dict[str, Any],
    settings: dict[str, Any],
) -> Statistics:
    xp = import_module(library)
    return cls(**{n: from_host(x, xp) for n, x in values.items()}, **settings)


def _devices(x: Array, y: Array) -> list[tuple[str, str, str]]:
    """Return what to compare; nothing, where an array is traced or on several."""
    mine, theirs = (one_device(one, namespace(one)) for one in (x, y))
    if mine is None or theirs is None:
        return []
    return [("device", str(mine), str(theirs))]


def data_rows(
    x: Array, mask: Array | None, granularity: Granularity, *, xp: Namespace
) -> tuple[Array, Array | None]:
    """Return the data as rows of the granularity, and where they hold data that counts.

    Raises
    ------
    TypeError
        If the data is not floating-point or the mask not boolean.
    ValueError
        If the mask does not broadcast to the data.
    """
    check_floating(x)
    if not isinstance(granularity, Granularity):
        raise TypeError(
            "`granularity` must be PerTensor(), PerChannel(axis) or "
            f"PerBlock(axis, size); got {granularity!r}."
        )
    rows, keep = granularity.to_rows(detached(x, xp), xp=xp)
    if mask is None:
        return rows, keep
    if dtype_name(mask.dtype) != "bool":
        raise TypeError(f"`mask` must be boolean; got {dtype_name(mask.dtype)}.")
    chosen, _ = granularity.to_rows(broadcast(mask, x, "mask", xp=xp), xp=xp)
    return rows, chosen  # false in padding too


def state_extents(granularity: Granularity, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the scales that a state of such data shall have."""
    return () if isinstance(granularity, PerTensor) else granularity.scale_shape(shape)
