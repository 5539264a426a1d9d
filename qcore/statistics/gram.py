"""How the inputs of a layer go together: exact sums of products of their codes."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar, Self

from array_api_compat import device as device_of

from qcore.arithmetic import check_codes, dtype_name
from qcore.formats import IntFormat, parse_format
from qcore.granularity import PerChannel
from qcore.libraries import arithmetic, check_library, is_concrete, namespace
from qcore.spec import QParams
from qcore.statistics.base import Statistics, static
from qcore.statistics.products import sums_of_products
from qcore.statistics.window import Window
from qcore.typing import Array, Namespace


@dataclass(frozen=True, eq=False, kw_only=True)
class Gram(Statistics):
    """
    Sums of the codes of a layer's input, less their zero point, and of their products.

    Sums are of integers, so the state depends on the codes alone: not on batches,
    order, machines or library. There is room for 2**31 inputs of 16 bits.

    Attributes
    ----------
    products : array
        int64 ``[G, K, K]``, symmetric: for each group, of each two of the K inputs that
        an output of it is made of. Of a convolution those are the unfolded patches, in
        the order of a flattened weight ``[outputs, channels / G, *kernel]``.
    sums : array
        int64 ``[G, K]``.
    count : array
        int64 ``[G]``: outputs seen.
    scale, zero_point : array
        float32 and int32 ``[G]``: what codes were made with.
    format : str
        The format of the codes, an integer one.
    features : int
        K.
    window : Window
        What an output sees.
    """

    products: Array
    sums: Array
    count: Array
    scale: Array
    zero_point: Array
    format: str = static()
    features: int = static()
    window: Window = static()

    counted: ClassVar[tuple[str, ...]] = ("products", "sums", "count", "nans", "infs")

    @classmethod
    def of(
        cls,
        codes: Array,
        qparams: QParams,
        /,
        *,
        window: Window = Window(),  # noqa: B008 - frozen
        mask: Array | None = None,
        xp: Namespace | None = None,
    ) -> Self:
        """
        Return the sums of the codes of a layer's input.

        Parameters
        ----------
        codes : array
            As `quantize` returns them: ``[..., G * K]`` for a dense layer,
            ``[N, channels, *spatial]`` for a convolution.
        qparams : QParams
            What they were made with: an integer format, one scale for all.
        window : Window, optional
            Geometry of a convolution, and the groups; a dense layer by default.
        mask : array, optional
            Booleans of the shape of the codes without the features, ``[...]`` or
            ``[N]``: what counts is true.

        Raises
        ------
        TypeError
            If the codes are not of the format's storage dtype, the format is one of
            floats, the mask is not boolean or the scales are of another library.
        ValueError
            If there are several scales, or shapes do not fit.
        """
        fmt = qparams.spec.format
        if not isinstance(fmt, IntFormat):
            raise TypeError(
                f"Gram must be given codes of integers; got {fmt.name}. Quantize the "
                "input to int16 for this."
            )
        xp = namespace(codes, xp)
        check_library(qparams.scale, xp, "scales")
        if prod(qparams.scale.shape) != 1:
            raise ValueError(
                "`qparams` must hold one scale for the whole input; got scales of "
                f"shape {tuple(qparams.scale.shape)}."
            )
        with arithmetic(xp):
            scale = xp.astype(xp.reshape(qparams.scale, (1,)), xp.float32)
            zero_point = xp.astype(xp.reshape(qparams.zero_point, (1,)), xp.int32)
            return cls._of(
                codes, scale, zero_point, fmt, window=window, mask=mask, xp=xp
            )

    @classmethod
    def _of(
        cls,
        codes: Array,
        scale: Array,
        zero_point: Array,
        fmt: IntFormat,
        *,
        window: Window,
        mask: Array | None,
        xp: Namespace,
    ) -> Self:
        """Return the sums of codes of one scale and zero point, ``[1]`` each."""
        check_codes(codes, fmt)
        images, features, keep = _images(codes, window, mask, xp=xp)
        groups, device = window.groups, device_of(codes)
        state = sums_of_products(
            images, zero_point[0], keep, window, fmt.qmax - fmt.qmin, xp=xp
        )
        one = xp.ones((groups,), dtype=xp.int64, device=device)
        seen = images.shape[0] if keep is None else xp.sum(xp.astype(keep, xp.int64))
        seen = one * seen * prod(window.outputs(tuple(images.shape[2:])))
        ends = _ends(images, keep, zero_point, scale, xp=xp)
        return cls(
            products=state[:, :, :features],
            sums=state[:, :, features],
            count=seen,
            scale=xp.broadcast_to(scale, (groups,)),
            zero_point=xp.broadcast_to(zero_point, (groups,)),
            min=xp.broadcast_to(ends[0], (groups,)),
            max=xp.broadcast_to(ends[1], (groups,)),
            nans=one * 0,
            infs=xp.zeros((groups, 2), dtype=xp.int64, device=device),
            granularity=PerChannel(0),
            extents=(groups,),
            format=fmt.name,
            features=features,
            window=window,
        )

    def update(self, codes: Array, /, mask: Array | None = None) -> Self:
        """
        Return the sums of `codes` and of all that was seen before.

        Parameters
        ----------
        codes, mask : array
            As in `of`, codes made with the state's own scale and zero point.

        Raises
        ------
        TypeError
            If the codes are not of the format's storage dtype or the mask not boolean.
        ValueError
            If shapes, library or device are not those of the state.
        """
        xp = self.xp
        check_library(codes, xp, "codes")
        with arithmetic(xp):
            fmt = parse_format(self.format)
            assert isinstance(fmt, IntFormat)
            scale, zero_point = self.scale[:1], self.zero_point[:1]
            batch = self._of(
                codes, scale, zero_point, fmt, window=self.window, mask=mask, xp=xp
            )
            return self.merge(batch)

    @property
    def mean(self) -> Array:
        """Mean of each input, float64 ``[G, K]``, in real numbers; 0 of none."""
        xp = self.xp
        with arithmetic(xp):
            sums = xp.astype(self.sums, xp.float64)
            return sums / self._seen() * xp.astype(self.scale, xp.float64)[:, None]

    @property
    def second_moment(self) -> Array:
        """Mean of the product of each two inputs, float64 ``[G, K, K]``; 0 of none."""
        xp = self.xp
        with arithmetic(xp):
            products = xp.astype(self.products, xp.float64) / self._seen()[..., None]
            scale = xp.astype(self.scale, xp.float64)
            return products * (scale * scale)[:, None, None]

    @property
    def covariance(self) -> Array:
        """Covariance of each two inputs, float64 ``[G, K, K]``; 0 of none."""
        with arithmetic(self.xp):
            mean = self.mean
            return self.second_moment - mean[:, :, None] * mean[:, None, :]

    def _seen(self) -> Array:
        """Return the count as a divisor, float64 ``[G, 1]``."""
        xp = self.xp
        count = xp.maximum(self.count, xp.ones_like(self.count))
        return xp.astype(count, xp.float64)[:, None]

    def _merged(self, other: Self, *, xp: Namespace) -> Self:
        for name in ("scale", "zero_point"):
            mine, theirs = getattr(self, name), getattr(other, name)
            differs = xp.any(mine != theirs)
            if is_concrete(differs, xp) and bool(differs):
                raise ValueError(f"statistics must share their {name} of codes.")
        return super()._merged(other, xp=xp)


def _images(
    codes: Array, window: Window, mask: Array | None, /, *, xp: Namespace
) -> tuple[Array, int, Array | None]:
    """Return codes ``[N, channels, *spatial]``, K and a mask ``[N]``."""
    if not window.rank and codes.ndim:
        codes = xp.reshape(codes, (prod(codes.shape[:-1]), codes.shape[-1]))
    if codes.ndim != window.rank + 2:
        wanted = "[..., features]" if not window.rank else "[N, channels, *spatial]"
        raise ValueError(
            f"`codes` must be {wanted} for a kernel {window.kernel}; got the shape "
            f"{tuple(codes.shape)}."
        )
    features = window.features(codes.shape[1])
    if dtype_name(codes.dtype) == "uint16":  # which PyTorch can do little with
        codes = xp.astype(codes, xp.int32)
    if mask is None:
        return codes, features, None
    if dtype_name(mask.dtype) != "bool":
        raise TypeError(f"`mask` must be boolean; got {dtype_name(mask.dtype)}.")
    if prod(mask.shape) != codes.shape[0]:
        raise ValueError(
            f"`mask` must have {codes.shape[0]} entries, one for each row or image of "
            f"codes; got the shape {tuple(mask.shape)}."
        )
    return codes, features, xp.reshape(mask, (codes.shape[0],))


def _ends(
    images: Array,
    keep: Array | None,
    zero_point: Array,
    scale: Array,
    /,
    *,
    xp: Namespace,
) -> tuple[Array, Array]:
    """Return the smallest and the largest number seen, float32 ``[1]`` each."""
    if 0 in images.shape:
        infinite = xp.full_like(scale, float("inf"))
        return infinite, -infinite
    axes = tuple(range(1, images.ndim))
    ends = []
    for find, none in ((xp.min, float("inf")), (xp.max, -float("inf"))):
        each = find(images, axis=axes)
        each = (xp.astype(each, xp.float32) - xp.astype(zero_point, xp.float32)) * scale
        if keep is not None:
            each = xp.where(keep, each, xp.full_like(each, none))
        ends.append(find(each, axis=0, keepdims=True))
    return ends[0], ends[1]
