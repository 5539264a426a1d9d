"""How close values are to those they stand for: signal over noise, and the cosine."""

from dataclasses import dataclass
from typing import Self

from qcore.arithmetic import check_floating
from qcore.libraries import arithmetic, check_library, namespace
from qcore.typing import Array, Namespace


@dataclass(frozen=True, eq=False)
class Similarity:
    """
    Sums over pairs of values, from which the figures follow; those of parts add up.

    A pair that is NaN, or the same infinity, on both sides agrees and counts as zeros.
    Where just one side is NaN or infinite the noise is infinite.

    Attributes
    ----------
    wanted, got : array
        float64, 0-d: the squares of either side.
    product : array
        float64, 0-d: the products.
    noise : array
        float64, 0-d: the squares of the differences.
    """

    wanted: Array
    got: Array
    product: Array
    noise: Array

    @classmethod
    def of(cls, wanted: Array, got: Array, /, *, xp: Namespace | None = None) -> Self:
        """
        Return the sums of two arrays.

        Parameters
        ----------
        wanted, got : array
            Floating-point, of equal shape; dtypes may differ.

        Raises
        ------
        TypeError
            If one is not floating-point, or they are of two libraries.
        ValueError
            If their shapes differ.
        """
        xp = namespace(wanted, xp)
        check_library(got, xp, "`got`")
        check_floating(wanted, "`wanted`")
        check_floating(got, "`got`")
        if wanted.shape != got.shape:
            shape, other = tuple(wanted.shape), tuple(got.shape)
            raise ValueError(f"`got` must have shape {shape}; got {other}.")
        with arithmetic(xp):
            a, b = (xp.reshape(xp.astype(x, xp.float64), (-1,)) for x in (wanted, got))
            zero = xp.zeros_like(a)
            agree = (a == b) | (xp.isnan(a) & xp.isnan(b))
            error = xp.where(agree, zero, a - b)
            error = xp.where(xp.isnan(error), xp.full_like(a, float("inf")), error)
            a = xp.where(xp.isfinite(a), a, zero)
            b = xp.where(xp.isfinite(b), b, zero)
            pairs = ((a, a), (b, b), (a, b), (error, error))
            return cls(*(xp.vecdot(x, y) for x, y in pairs))

    def __add__(self, other: Self, /) -> Self:
        """Return the sums over the pairs of both."""
        xp = namespace(self.wanted)
        with arithmetic(xp):
            return type(self)(
                self.wanted + other.wanted,
                self.got + other.got,
                self.product + other.product,
                self.noise + other.noise,
            )

    @property
    def sqnr(self) -> Array:
        """Signal over noise in dB, float64, 0-d: infinite where nothing differs."""
        xp = namespace(self.noise)
        with arithmetic(xp):
            same = xp.full_like(self.noise, float("inf"))
            figure = decibels(self.wanted, self.noise, xp=xp)
            return xp.where(self.noise == 0, same, figure)

    @property
    def cosine(self) -> Array:
        """Cosine of the angle between both, float64, 0-d.

        It is 1 where nothing differs, 0 where one side alone is zero, and NaN where the
        noise is infinite.
        """
        xp = namespace(self.noise)
        with arithmetic(xp):
            one = xp.ones_like(self.noise)
            length = xp.sqrt(self.wanted) * xp.sqrt(self.got)
            figure = self.product / xp.where(length == 0, one, length)
            figure = xp.minimum(xp.maximum(figure, -one), one)  # it is rounded
            lost = xp.full_like(one, float("nan"))
            figure = xp.where(xp.isfinite(self.noise), figure, lost)
            return xp.where(self.noise == 0, one, figure)


def decibels(signal: Array, noise: Array, /, *, xp: Namespace) -> Array:
    """Return the ratio of two powers in dB; that of 0 to 0 is NaN."""
    return 10 * xp.log10(signal / noise)
