"""The quantizers of a model, and those of one of its modules."""

from torch import nn

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer


def named_quantizers(model: nn.Module, /) -> dict[str, TensorQuantizer]:
    """Return the quantizers of a model by name, each once."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, TensorQuantizer)
    }


def quantizers_of(module: nn.Module, of: str, /) -> list[TensorQuantizer]:
    """Return a module's quantizers of its ``"input"`` or ``"weight"``."""
    one = getattr(module, f"_{of}_quantizer", None)
    return list(getattr(module, f"_{of}_quantizers", ())) if one is None else [one]
