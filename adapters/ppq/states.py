"""The states that PPQ gives the quantization of a tensor, and who sees it."""

from enum import Enum


class QuantizationStates(Enum):
    """
    How far the quantization of a tensor has come; the names and numbers are PPQ's.

    Attributes
    ----------
    INITIAL
        It is to be calibrated, or, if a weight, to be given its scales.
    ACTIVATED
        It has scales of its own.
    BAKED
        It is a weight that is held in codes.
    OVERLAPPED
        It has the scale of another tensor, or is in codes only as that one.
    PASSIVE_INIT
        It is to get the scale of other tensors: a bias, a bound of a Clip, what a Pad
        pads with.
    PASSIVE
        It got it.
    PASSIVE_BAKED
        It is held in such codes.
    FP32
        It stays float.
    JOINT, DEACTIVATED, DEQUANTIZED, SOI
        Of earlier versions of PPQ; qcore gives none.
    """

    INITIAL = 1
    BAKED = 2
    OVERLAPPED = 3
    JOINT = 4
    DEACTIVATED = 5
    ACTIVATED = 6
    DEQUANTIZED = 7
    SOI = 8
    PASSIVE = 9
    PASSIVE_INIT = 10
    PASSIVE_BAKED = 11
    FP32 = 12

    DEACTIVED = DEACTIVATED  # as it is spelt in version 0.6

    @classmethod
    def is_activated(cls, state: "QuantizationStates") -> bool:
        """Return whether a tensor in this state is rounded where it is used."""
        return state in {cls.ACTIVATED, cls.PASSIVE}

    @classmethod
    def can_export(cls, state: "QuantizationStates") -> bool:
        """Return whether a model can be written with a tensor in this state."""
        return state not in {cls.INITIAL, cls.PASSIVE_INIT}


class QuantizationVisibility(Enum):
    """Whether the quantization of a tensor is written into a file."""

    FORCE_EXPORT = 1
    EXPORT_WHEN_ACTIVE = 2
    INTERNAL = 3
