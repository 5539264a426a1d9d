"""Bias correction alone."""

from torch import nn

from qcore.adapters.torch.calibration.model import ForwardLoop
from qcore.adapters.torch.recovery.recover import recover


def correct_biases(model: nn.Module, forward_loop: ForwardLoop, /) -> nn.Module:
    """
    Give every layer's output the mean it had before quantization.

    This is `recover` at level ``"bias"``: weights stay as they are.

    Parameters
    ----------
    model : Module
        Quantized, its weights those of the float model. Changed in place.
    forward_loop : callable or iterable
        As of `recover`.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    TypeError, QuantError, NoDataError, NonFiniteError, StatisticsError
        As `recover`.
    """
    return recover(model, forward_loop, level="bias")
