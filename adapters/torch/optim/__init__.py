"""What training of quantized models needs of the optimizer's side."""

from qcore.adapters.torch.optim import helper

__all__ = ["helper"]
