"""Quantize a trained network without training: every method, 8 and 4 bits.

The data is collected once; each method then reads the same histograms.
Run it with ``python examples/torch/ptq.py``.
"""

import copy

import torch
from digits import Network, accuracy, load, train
from torch import nn

import qcore
from qcore.adapters.torch import quantize
from qcore.adapters.torch.nn import TensorQuantizer

METHODS = ("minmax", "percentile", "entropy", "mse", "hfmg", "ifmr", "auto")


def main() -> dict[tuple[str, str], float]:
    """Print the accuracy of each method at each width, and return it."""
    torch.manual_seed(0)
    train_data, test_data = load()
    model = Network()
    train(model, train_data, epochs=12, rate=0.1)
    batches = [batch.pictures for batch in train_data.batches(100)[:5]]
    print(f"float: {accuracy(model, test_data):.2f} %")
    found = {("float", ""): accuracy(model, test_data)}
    for bits in ("int8", "int4"):
        config = {
            "rules": [
                {
                    "input": {"format": bits, "calib_method": "mse"},
                    "weight": {"format": bits, "axis": 0, "calib_method": "mse"},
                }
            ]
        }
        quantized = quantize(copy.deepcopy(model), config, batches)
        for method in METHODS:
            choose(quantized, method)
            found[bits, method] = accuracy(quantized, test_data)
            print(f"{bits} {method:<10} {found[bits, method]:.2f} %")
    return found


def choose(model: nn.Module, method: str) -> None:
    """Take the ranges of all activations from a method; nothing is collected again."""
    for name, module in model.named_modules():
        if isinstance(module, TensorQuantizer) and "input" in name:
            module.load_calib_amax(method)


if __name__ == "__main__":
    assert set(METHODS) <= set(qcore.methods())
    main()
