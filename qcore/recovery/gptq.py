"""Rounding of weights one after the other, later ones making up for earlier ones.

"GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers"
(Frantar et al., arXiv:2210.17323), and before it "Optimal Brain Compression"
(arXiv:2208.11580). A change d of an output's weights changes the output by ``d H d`` on
the average, with H the mean of the products of its inputs. With ``H = R R'``, R upper
triangular, that is the sum of

    (R[i, i] * d[i] + sum over j < i of R[j, i] * d[j])**2

so each weight in turn is rounded where its own term is least. These are the same codes
that the paper finds by way of the inverse of H ("The Geometry of LLM Quantization",
arXiv:2507.18553), without inverting anything.
"""

from array_api_compat import device as device_of

from qcore.affine import to_codes, to_grid
from qcore.arithmetic import check_floating
from qcore.errors import NonFiniteError
from qcore.formats import Format
from qcore.kernels import Kernel
from qcore.libraries import arithmetic, is_concrete, namespace
from qcore.recovery.code_limits import lowest_and_highest
from qcore.recovery.in_turn import round_in_turn, within
from qcore.recovery.layer_rows import from_rows, to_rows
from qcore.recovery.output_error import moment, squared_change
from qcore.spec import QParams
from qcore.statistics import Gram
from qcore.typing import Array, Namespace

LEAST_DAMPING = 1e-8
"""With less the moments of thousands of inputs need not be positive definite."""

SHARE = 0.4
"""Of inputs over outputs seen: the default damping.

On data that had not been seen, layers of MobileNet, MiniLM and a network for
super-resolution were best with 0.1 to 1 times it, from 0.7 to 0.01 inputs for each
output seen.
"""


def gptq(
    weights: Array,
    gram: Gram,
    qparams: QParams,
    /,
    axis: int = 0,
    *,
    damping: float | None = None,
    reorder: bool = True,
    center: bool = False,
    limits: tuple[Array, Array] | None = None,
    xp: Namespace | None = None,
) -> Array:
    """
    Return codes of weights that change the output of their layer little.

    Parameters
    ----------
    weights : array
        Floating-point, such as ``[outputs, inputs]`` or
        ``[outputs, channels / groups, *kernel]``.
    gram : Gram
        Of the layer's quantized input. Its features are the weights of an output in
        their order, its groups those of the outputs.
    qparams : QParams
        Of the weights, of any format and granularity.
    axis : int, optional
        Axis of the outputs.
    damping : float, optional
        Added to the mean square of each input, as a part of their average: the more,
        the less weights make up for each other. By default 0.4 times the inputs of an
        output over the outputs seen, from 0.001 to 1, for what few outputs seen have in
        common may be chance.
    reorder : bool, optional
        Round weights of large inputs first, while there are many to make up for them.
    center : bool, optional
        Leave out the change of the output's mean, because its bias will be corrected.
    limits : tuple of array, optional
        The lowest and the highest codes that weights may get, of an integer format:
        integers that broadcast to the weights. A kernel may have room for no others.

    Returns
    -------
    array
        Codes of the shape of the weights, as `quantize` returns them, to the nearest
        whatever the spec's rounding. No output's error is larger than with those of
        `quantize`, within the limits, which it has where inputs were always zero.

    Raises
    ------
    TypeError
        If the weights are not floating-point, limits no integers of their library, or
        `gram` not a Gram of it.
    NonFiniteError
        If a weight is NaN or infinite.
    ValueError
        If the damping is out of range, shapes do not fit, limits leave a weight no
        code, or come with a format of floats.

    Notes
    -----
    Equal statistics give equal codes on one machine. Libraries and machines factorize
    matrices differently in the last bits, so that a weight right between two codes may
    fall to either side.
    """
    if damping is not None and not LEAST_DAMPING <= damping < float("inf"):
        raise ValueError(
            f"`damping` must be at least {LEAST_DAMPING} and finite; got {damping}."
        )
    xp = namespace(weights, xp)
    check_floating(weights, "`weights`")
    with arithmetic(xp):
        finite = xp.all(xp.isfinite(weights))
        if is_concrete(finite, xp) and not bool(finite):
            raise NonFiniteError("`weights` must be finite; got NaN or infinity.")
        fmt, expand = qparams.spec.format, qparams.spec.granularity.expand
        grid = (
            xp.broadcast_to(expand(x, weights.shape, xp=xp), weights.shape)
            for x in (qparams.scale, qparams.zero_point)
        )
        rows, scale, zero_point = (
            to_rows(x, gram, axis, xp=xp) for x in (weights, *grid)
        )
        scale = xp.astype(scale, xp.float64)
        bounds = None
        if limits is not None:
            lowest, highest = (
                to_rows(x, gram, axis, xp=xp)
                for x in lowest_and_highest(limits, weights, fmt, xp=xp)
            )
            origin = xp.astype(zero_point, xp.float64)
            bounds = (lowest - origin) * scale, (highest - origin) * scale
        codes = compensated_codes(
            xp.astype(rows, xp.float64),
            moment(gram, center),
            scale,
            zero_point,
            fmt,
            _damping(gram, damping, xp=xp),
            bool(reorder),
            bounds,
            xp=xp,
        )
        return from_rows(codes, weights.shape, axis, xp=xp)


@Kernel
def compensated_codes(  # noqa: PLR0917 - a kernel's arguments have no names
    rows: Array,
    moments: Array,
    scale: Array,
    zero_point: Array,
    fmt: Format,
    damping: Array,
    reorder: bool,
    limits: tuple[Array, Array] | None,
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return the codes of rows, of each output the better of those in turn and nearest.

    Parameters
    ----------
    rows, scale, zero_point : array
        float64, float64 and int32 ``[G, K, outputs]``.
    moments : array
        float64 ``[G, K, K]``.
    damping : array
        float64 ``[G]``.
    limits : tuple of array or None
        Lowest and highest numbers of the format, float64 of the shape of `rows`.
    """
    grid = scale, zero_point
    found = _compensated(rows, moments, grid, fmt, damping, reorder, limits, xp=xp)
    found = xp.where(found == 0, xp.zeros_like(found), found)  # of no sign
    nearest = within(to_grid(rows, *grid, fmt, xp=xp), limits, xp=xp)
    errors = [
        squared_change(rows - x, moments, xp=xp)[:, None, :] for x in (found, nearest)
    ]
    better = xp.where(errors[0] < errors[1], found, nearest)
    return to_codes(better, *grid, fmt, xp=xp)


def _compensated(  # noqa: PLR0917 - as above
    rows: Array,
    moments: Array,
    grid: tuple[Array, Array],
    fmt: Format,
    damping: Array,
    reorder: bool,
    limits: tuple[Array, Array] | None,
    /,
    *,
    xp: Namespace,
) -> Array:
    """Return what the codes in turn stand for."""
    power = xp.linalg.diagonal(moments)
    if reorder:
        order = xp.argsort(power, axis=-1, descending=True)
        back = xp.argsort(order, axis=-1)
        rows, scale, zero_point = (_taken(x, order, xp=xp) for x in (rows, *grid))
        grid = scale, zero_point
        if limits is not None:
            limits = _taken(limits[0], order, xp=xp), _taken(limits[1], order, xp=xp)
        moments = xp.matrix_transpose(_taken(moments, order, xp=xp))
        moments = _taken(moments, order, xp=xp)
    mean = xp.mean(power, axis=-1)[:, None, None]
    damped = damping[:, None, None] * xp.where(mean > 0, mean, xp.ones_like(mean))
    moments = moments + damped * xp.eye(
        power.shape[-1], dtype=xp.float64, device=device_of(power)
    )
    # Of the reversed matrix the lower triangle, reversed, is an upper one.
    factor = xp.flip(xp.linalg.cholesky(xp.flip(moments, axis=(1, 2))), axis=(1, 2))
    feedback = factor / xp.linalg.diagonal(factor)[:, None, :]
    found = round_in_turn(rows, feedback, *grid, fmt, limits, xp=xp)
    return _taken(found, back, xp=xp) if reorder else found


def _damping(gram: Gram, damping: float | None, /, *, xp: Namespace) -> Array:
    """Return the damping of each group, float64 ``[G]``."""
    count = xp.astype(xp.maximum(gram.count, xp.ones_like(gram.count)), xp.float64)
    if damping is not None:
        return xp.full_like(count, damping)
    return xp.clip(SHARE * gram.features / count, 1e-3, 1.0)


def _taken(x: Array, order: Array, /, *, xp: Namespace) -> Array:
    """Return the rows of each matrix in another order."""
    groups, n, columns = x.shape
    first = xp.arange(groups, dtype=order.dtype, device=device_of(x))[:, None] * n
    flat = xp.reshape(first + order, (-1,))
    return xp.reshape(
        xp.take(xp.reshape(x, (groups * n, columns)), flat, axis=0), x.shape
    )
