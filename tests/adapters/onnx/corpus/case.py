"""A small model with a quirk, and what it is fed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
import onnx
from onnx import numpy_helper

X = "float[N, 3, 8, 8] x"


@dataclass(frozen=True)
class Case:
    """A model in ONNX's own text form, and how it differs.

    Attributes
    ----------
    inputs, outputs, body : str
        Of the graph.
    constants : mapping
        Shapes of random initializers, or arrays.
    feed : mapping
        Shapes of random inputs, or arrays.
    opset, ir_version : int
        Of the model.
    more : str
        Functions that follow the graph.
    domains : str
        Further opset imports.
    refused : str
        What is said, where nothing can be quantized.
    by_all : bool
        Whether no target has anything to quantize in it.
    change : callable
        Done to the model when it is whole.
    """

    inputs: str
    outputs: str
    body: str
    constants: Mapping[str, object] = field(default_factory=dict)
    feed: Mapping[str, object] = field(default_factory=lambda: {"x": (2, 3, 8, 8)})
    opset: int = 17
    ir_version: int = 8
    more: str = ""
    domains: str = ""
    refused: str = ""
    by_all: bool = False
    change: Callable[[onnx.ModelProto], object] = id

    def model(self, seed: str) -> onnx.ModelProto:
        """Return the model, its constants random by a seed."""
        rng = np.random.default_rng(crc32(seed.encode()))
        model = onnx.parser.parse_model(
            f'<ir_version: {self.ir_version}, opset_import: ["" : {self.opset}'
            f"{self.domains}]> net ({self.inputs}) => ({self.outputs}) {{{self.body}}}"
            f" {self.more}"
        )
        for key, given in self.constants.items():
            array = _weights(rng, given) if isinstance(given, tuple) else given
            tensor = numpy_helper.from_array(np.asarray(array), key)
            model.graph.initializer.append(tensor)
        self.change(model)
        return model

    def samples(self, seed: str, count: int) -> list[dict[str, np.ndarray]]:
        """Return samples, random by a seed where a shape is given."""
        rng = np.random.default_rng(crc32(seed.encode()) + 1)
        return [
            {
                key: rng.normal(size=given).astype(np.float32)
                if isinstance(given, tuple)
                else np.asarray(given)
                for key, given in self.feed.items()
            }
            for _ in range(count)
        ]


def _weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    fan_in = max(int(np.prod(shape[1:])), 1)
    return (rng.normal(size=shape) / np.sqrt(fan_in)).astype(np.float32)


def conv(
    extra: str = "", outputs: str = "float[N, 4, H, W] y", **options: object
) -> Case:
    return Case(
        X,
        outputs,
        f"c = Conv{extra and f'<{extra}>'}(x, w, b) \n r = Relu(c) \n y = Conv(r, w2)",
        {"w": (6, 3, 3, 3), "b": (6,), "w2": (4, 6, 1, 1)},
        **options,
    )


HEAD = (
    "\n f = GlobalAveragePool(h) \n g = Flatten(f) \n y = Gemm<transB = 1>(g, wh, bh)"
)
HEADED = {"wh": (5, 6), "bh": (5,)}
FIRST = {"w": (6, 3, 3, 3), "b": (6,)}
BATCH_NORM = {
    "gamma": np.float32([1.0, 0.5, -0.7, 2.0, 1.1, 0.9]),
    "beta": (6,),
    "mean": (6,),
    "var": np.float32([1.0, 0.5, 0.7, 2.0, 1.1, 0.9]),
}


def headed(
    body: str, constants: Mapping[str, object] | None = None, **options: object
) -> Case:
    """Return a convolution to ``c``, what `body` makes of it to ``h``, and a head."""
    given = {**FIRST, **HEADED, **(constants or {})}
    start = "c = Conv<pads = [1, 1, 1, 1]>(x, w, b) \n "
    return Case(X, "float[N, 5] y", start + body + HEAD, given, **options)
