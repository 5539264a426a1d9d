"""Train a quantized network a little further: the recipe of pytorch-quantization.

A tenth of the original schedule, at a learning rate that starts at a hundredth of the
original one and is annealed along a cosine to a hundredth of that; ranges stay as they
were calibrated. Run it with ``python examples/torch/qat.py``.
"""

import torch
from digits import Network, accuracy, load, train
from torch import nn

from qcore.adapters.torch import calib, quant_modules
from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch.tensor_quant import QuantDescriptor

EPOCHS, RATE = 40, 0.1


def main() -> dict[str, float]:
    """Print the accuracy before and after, at 8 and 4 bits, and return it."""
    torch.manual_seed(0)
    train_data, test_data = load()
    model = Network()
    train(model, train_data, epochs=EPOCHS, rate=RATE)
    found = {"float": accuracy(model, test_data)}
    for bits in (8, 4, 3):
        quantized = build(bits)
        quantized.load_state_dict(model.state_dict(), strict=False)
        calibrate(quantized, [batch.pictures for batch in train_data.batches(100)])
        found[f"{bits} bits"] = accuracy(quantized, test_data)
        rate = RATE / 100
        train(
            quantized,
            train_data,
            epochs=EPOCHS // 10,
            rate=rate,
            last_rate=rate / 100,
        )
        found[f"{bits} bits, trained"] = accuracy(quantized, test_data)
    for name, percent in found.items():
        print(f"{name:<16} {percent:.2f} %")
    return found


def build(bits: int) -> nn.Module:
    """Return a network whose layers quantize, from the code of the float one."""
    activations = QuantDescriptor(num_bits=bits, calib_method="histogram")
    weights = QuantDescriptor(num_bits=bits, axis=(0))
    for layer in (quant_nn.QuantConv2d, quant_nn.QuantLinear):
        layer.set_default_quant_desc_input(activations)
        layer.set_default_quant_desc_weight(weights)
    with quant_modules.initialize():
        return Network()


@torch.no_grad()
def calibrate(model: nn.Module, batches: list[torch.Tensor]) -> None:
    """Find the ranges of all quantizers, as code for pytorch-quantization does."""
    model.eval()
    quantizers = [
        module
        for module in model.modules()
        if isinstance(module, quant_nn.TensorQuantizer)
    ]
    for quantizer in quantizers:
        quantizer.disable_quant()
        quantizer.enable_calib()
    for batch in batches:
        model(batch)
    for quantizer in quantizers:
        by_max = isinstance(quantizer.calibrator, calib.MaxCalibrator)
        quantizer.load_calib_amax(*(() if by_max else ("mse",)))
        quantizer.disable_calib()
        quantizer.enable_quant()


if __name__ == "__main__":
    main()
