"""From the observers of one model to those of another."""

import warnings

from torch import nn


def load_observer_params(
    from_model: nn.Module, to_model: nn.Module, verbose: bool = False
) -> None:
    """
    Load into a model what another one has under the same names.

    The observers of the two may be of different classes, as in a model for calibration
    and one for training. Weights and buffers are loaded too. What just one of the two
    has is left alone, after a warning.

    Parameters
    ----------
    from_model, to_model : torch.nn.Module
        Where from and where to.
    verbose : bool, optional
        Whether the warning lists all the names.
    """
    missing, unexpected = to_model.load_state_dict(
        from_model.state_dict(), strict=False
    )
    if missing or unexpected:
        text = (
            f"{len(missing)} keys of `to_model` are missing in `from_model` and "
            f"{len(unexpected)} of `from_model` in `to_model`: is the qconfig right?"
        )
        if verbose:
            text += f" Missing: {missing}. Unexpected: {unexpected}."
        warnings.warn(text, stacklevel=2)
