"""What a change of weights does to the output of a layer."""

from qcore.arithmetic import check_floating
from qcore.libraries import arithmetic, namespace
from qcore.recovery.layer_rows import to_rows
from qcore.statistics import Gram
from qcore.typing import Array, Namespace


def output_error(
    weights: Array,
    rounded: Array,
    gram: Gram,
    /,
    axis: int = 0,
    *,
    center: bool = False,
    xp: Namespace | None = None,
) -> Array:
    """
    Return the mean squared change of each output if weights are replaced by others.

    Parameters
    ----------
    weights, rounded : array
        Floating-point, of one shape. ``rounded`` may be zeros, which gives the power
        of the output (but for its bias).
    gram : Gram
        Of the layer's input; its features are the weights of an output in their order.
    axis : int, optional
        Axis of the outputs.
    center : bool, optional
        Leave out the change of the mean, which a bias can take back.

    Returns
    -------
    array
        float64 ``[outputs]``.

    Raises
    ------
    TypeError
        If the weights are not floating-point, or `gram` not a Gram of their library.
    ValueError
        If the shapes do not fit.
    """
    xp = namespace(weights, xp)
    with arithmetic(xp):
        rows = _change(weights, rounded, gram, axis, xp=xp)
        errors = squared_change(rows, moment(gram, center), xp=xp)
        return xp.reshape(errors, (-1,))


def output_shift(
    weights: Array,
    rounded: Array,
    gram: Gram,
    /,
    axis: int = 0,
    *,
    xp: Namespace | None = None,
) -> Array:
    """
    Return what to add to a layer's bias if its weights are replaced by others.

    It gives the output the mean that it had, where edges are padded, too: the analytic
    bias correction of "Data-Free Quantization" (arXiv:1906.04721, section 4.2), with
    the mean that was seen.

    Parameters
    ----------
    weights, rounded, gram, axis
        As in `output_error`.

    Returns
    -------
    array
        float32 ``[outputs]``.

    Raises
    ------
    TypeError, ValueError
        As `output_error`.
    """
    xp = namespace(weights, xp)
    with arithmetic(xp):
        rows = _change(weights, rounded, gram, axis, xp=xp)
        shift = xp.matmul(gram.mean[:, None, :], rows)
        return xp.astype(xp.reshape(shift, (-1,)), xp.float32)


def _change(
    weights: Array, rounded: Array, gram: Gram, axis: int, /, *, xp: Namespace
) -> Array:
    """Return what weights lose, float64 ``[G, K, outputs / G]``."""
    check_floating(weights, "`weights`")
    check_floating(rounded, "`rounded`")
    if weights.shape != rounded.shape:
        raise ValueError(
            "`rounded` must have the shape of the weights; got "
            f"{tuple(rounded.shape)} and {tuple(weights.shape)}."
        )
    change = xp.astype(weights, xp.float64) - xp.astype(rounded, xp.float64)
    return to_rows(change, gram, axis, xp=xp)


def moment(gram: Gram, center: bool, /) -> Array:
    """Return how inputs go together, float64 ``[G, K, K]``, about zero or the mean."""
    return gram.covariance if center else gram.second_moment


def squared_change(change: Array, moment: Array, /, *, xp: Namespace) -> Array:
    """Return the mean squared change of each output, ``[G, outputs / G]``.

    Parameters
    ----------
    change : array
        float64 ``[G, K, outputs / G]``.
    moment : array
        float64 ``[G, K, K]``.
    """
    total = xp.sum(change * xp.matmul(moment, change), axis=1)
    return xp.maximum(total, xp.zeros_like(total))  # it is, but for its last bits
