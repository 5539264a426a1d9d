"""A process that recovers a model, and may be killed before the end.

Its arguments: a model, samples of `x`, the file to write, a folder for a checkpoint or
nothing, and before the how manieth layer it kills itself.
"""

import os
import sys

import numpy as np

from qcore.adapters import onnx
from qcore.adapters.onnx.recovery import recover

KILL = 9
"""Its name is not known on Windows."""


def main(model: str, data: str, out: str, folder: str, last: str) -> None:
    """Quantize with recovery."""
    gram_of_inputs, begun = recover.gram_of_inputs, []

    def counted(*arguments: object) -> object:
        begun.append(arguments)
        if len(begun) == int(last):
            os.kill(os.getpid(), KILL)
        return gram_of_inputs(*arguments)

    recover.gram_of_inputs = counted
    with np.load(data) as arrays:
        samples = [{"x": x[None]} for x in arrays["x"]]
    found = onnx.quantize(onnx.load(model), samples, checkpoint=folder or None)
    onnx.save(found, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
