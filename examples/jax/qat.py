"""Train a quantized function a little further, at 4 and 3 bits.

Half of the original schedule at a fifth of its learning rate. The scales of
activations stay as they were calibrated, those of weights follow the largest one of
each output. Run it with ``python examples/jax/qat.py``.
"""

import jax
from cnn import accuracy, initial, load, network, train

from qcore.adapters.jax import calibrate, collect, fake_quant

EPOCHS, RATE = 20, 1e-2


def main() -> dict[str, float]:
    """Print the accuracy before and after, at 4 and 3 bits, and return it."""
    train_data, test_data = load()
    params = train(network, initial(0), train_data, epochs=EPOCHS, rate=RATE)
    found = {"float": accuracy(jax.jit(network), params, test_data)}
    calibration = train_data.pictures[:500]
    _, statistics = jax.jit(collect(network))(None, params, calibration)
    for bits in (4, 3):
        config = {
            "weight": {"format": f"int{bits}", "axis": "output", "method": "minmax"},
            "activation": {"format": f"int{bits}", "symmetric": False, "method": "mse"},
        }
        qparams = calibrate(network, config, statistics)(params, calibration)
        quantized = jax.jit(fake_quant(network, config, qparams))
        found[f"{bits} bits"] = accuracy(quantized, params, test_data)
        trained = train(
            quantized, params, train_data, epochs=EPOCHS // 2, rate=RATE / 5
        )
        found[f"{bits} bits, trained"] = accuracy(quantized, trained, test_data)
    for name, percent in found.items():
        print(f"{name:<16} {percent:.2f} %")
    return found


if __name__ == "__main__":
    main()
