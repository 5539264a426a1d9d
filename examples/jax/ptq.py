"""Quantize a trained function without training: every method, 8 and 4 bits.

The data is collected once; each method then reads the same histograms.
Run it with ``python examples/jax/ptq.py``.
"""

from functools import partial
from typing import Any

import jax
from cnn import Params, accuracy, initial, load, network, train

from qcore.adapters.jax import calibrate, collect, fake_quant

METHODS = ("minmax", "percentile", "entropy", "mse", "hfmg", "ifmr", "auto")


def rules(bits: str, method: str) -> dict[str, Any]:
    """Return a configuration: weights per output channel, activations as a whole."""
    return {
        "weight": {"format": bits, "axis": "output"},
        "activation": {"format": bits, "symmetric": False, "method": method},
    }


def main() -> dict[tuple[str, str], float]:
    """Print the accuracy of each method at each width, and return it."""
    train_data, test_data = load()
    params = train(network, initial(0), train_data, epochs=20, rate=1e-2)
    found = {("float", ""): accuracy(jax.jit(network), params, test_data)}
    print(f"float: {found['float', '']:.2f} %")

    collecting = jax.jit(collect(network))
    statistics = None
    for first in range(0, 500, 100):
        pictures = train_data.pictures[first : first + 100]
        _, statistics = collecting(statistics, params, pictures)

    @jax.jit
    def quantized(qparams: Any, params: Params, x: jax.Array) -> jax.Array:
        return fake_quant(network, None, qparams)(params, x)

    for bits in ("int8", "int4"):
        for method in METHODS:
            find = calibrate(network, rules(bits, method), statistics)
            # Compiled once for each width: the scales are an argument.
            f = partial(quantized, find(params, pictures))
            found[bits, method] = accuracy(f, params, test_data)
            print(f"{bits} {method:<10} {found[bits, method]:.2f} %")
    return found


if __name__ == "__main__":
    main()
