"""`quant_nn`: the modules that quantize, and the functions beneath."""

from qcore.adapters.torch.nn import functional, modules
from qcore.adapters.torch.nn.modules import *  # noqa: F403 - the same names, listed once

__all__ = [*modules.__all__, "functional"]  # noqa: PLE0604 - they are strings
