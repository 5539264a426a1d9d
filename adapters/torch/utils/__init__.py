"""The largest magnitude of a tensor; logging of programs that meddle with it."""

from qcore.adapters.torch.utils import quant_logging, reduce_amax

__all__ = ["quant_logging", "reduce_amax"]
