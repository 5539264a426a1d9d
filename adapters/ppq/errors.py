"""The errors that passes raise, which are what PPQ raises in their place, too."""

from qcore.errors import QuantError


class PassOrderError(QuantError, PermissionError):
    """A pass came before the one that it builds upon."""

    __str__ = Exception.__str__
