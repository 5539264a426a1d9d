"""Rounding to whole numbers: half to even, as ONNX has it, and other modes.

PPQ's RoundingPolicy has those to the nearest and ``"up"``.
"""

from qcore.typing import Array, Namespace

ROUNDINGS = (
    "half_even",
    "half_up",
    "half_down",
    "half_toward_zero",
    "half_away",
    "up",
    "down",
    "toward_zero",
)
MIRRORED = {
    "half_up": "half_down",
    "half_down": "half_up",
    "up": "down",
    "down": "up",
}
"""What becomes of a mode that looks at the sign if the numbers change theirs."""


def round_to_integer(x: Array, rounding: str, /, *, xp: Namespace) -> Array:
    """Return whole numbers of the dtype of `x`; NaN and infinity stay.

    Ties are told by the distance to the nearest whole number, which is exact: half
    added before `floor` would round up what lies just under a tie.
    """
    directed = {"up": xp.ceil, "down": xp.floor, "toward_zero": xp.trunc}
    if rounding in directed:
        return directed[rounding](x)
    nearest = xp.round(x)
    if rounding == "half_even":
        return nearest
    above, below = x - nearest == 0.5, x - nearest == -0.5
    if rounding == "half_up":
        return xp.where(above, nearest + 1, nearest)
    if rounding == "half_down":
        return xp.where(below, nearest - 1, nearest)
    is_negative = x < 0
    raised = is_negative if rounding == "half_toward_zero" else x > 0
    nearest = xp.where(xp.logical_and(above, raised), nearest + 1, nearest)
    lowered = xp.logical_not(raised)
    return xp.where(xp.logical_and(below, lowered), nearest - 1, nearest)
