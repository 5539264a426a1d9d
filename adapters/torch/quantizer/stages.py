"""What a quantizer does with data, step by step."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stages:
    """Which stages of a quantizer are on.

    Attributes
    ----------
    is_enabled : bool
        Whether any is; data passes otherwise.
    calibrates, clips, quantizes : bool
        Whether data is counted, clipped to the learned range, and quantized.
    """

    is_enabled: bool = True
    calibrates: bool = False
    clips: bool = False
    quantizes: bool = True
