"""Configurations that have a name: the rules most models want."""

from collections.abc import Mapping
from typing import Any

_LAYERS = [
    "Linear",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
]
"""Recurrent layers and pools are quantized where a rule names them."""

_INT8_WEIGHT = {"num_bits": 8, "axis": "output", "calib_method": "output"}
_INT8_INPUT = {"num_bits": 8, "calib_method": "mse"}
_POWER_OF_TWO = "float8_e8m0fnu"

_TENSORS: Mapping[str, Mapping[str, Any]] = {
    "int8": {"input": {**_INT8_INPUT, "symmetric": False}, "weight": _INT8_WEIGHT},
    "int8_power_of_two": {
        "input": {**_INT8_INPUT, "symmetric": False, "scale_format": _POWER_OF_TWO},
        "weight": {**_INT8_WEIGHT, "scale_format": _POWER_OF_TWO},
    },
    "int8_symmetric": {"input": _INT8_INPUT, "weight": _INT8_WEIGHT},
    "uint8": {
        "input": {**_INT8_INPUT, "unsigned": True, "symmetric": False},
        "weight": _INT8_WEIGHT,
    },
    "float8_e4m3fn": {
        "input": {"format": "float8_e4m3fn"},
        "weight": {"format": "float8_e4m3fn", "axis": "output"},
    },
    "int8_weight_only": {"weight": _INT8_WEIGHT},
    "int4_weight_only": {
        "weight": {
            "num_bits": 4,
            "block_sizes": {"input": 128},
            "calib_method": "mse",
        },
    },
    "mxfp8_e4m3": {
        "input": {
            "format": "mxfp8_e4m3",
            "block_sizes": {"input": 32},
            "dynamic": True,
        },
        "weight": {"format": "mxfp8_e4m3", "block_sizes": {"input": 32}},
    },
    "nvfp4": {
        "input": {
            "format": "nvfp4",
            "block_sizes": {"input": 16},
            "dynamic": True,
        },
        "weight": {"format": "nvfp4", "block_sizes": {"input": 16}},
    },
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    name: {"type": _LAYERS, **tensors} for name, tensors in _TENSORS.items()
}
"""The rule of each name.

=================  =====================================  ==========================
name               input                                  weight
=================  =====================================  ==========================
int8, the default  8 bits with a zero point, by mse       8 bits per output channel
int8_power_of_two  as int8, scales are powers of two      as int8, likewise
int8_symmetric     8 bits without one, as TensorRT needs  8 bits per output channel
uint8              as int8, codes from 0                  8 bits per output channel
float8_e4m3fn      per tensor, to the largest magnitude   per output channel
int8_weight_only   as it is                               8 bits per output channel
int4_weight_only   as it is                               4 bits, blocks of 128
mxfp8_e4m3         blocks of 32, dynamic                  blocks of 32
nvfp4              blocks of 16, dynamic                  blocks of 16
=================  =====================================  ==========================

Power-of-two scales are for hardware that shifts instead of multiplying. With biases on
the accumulators' grid (`correct_biases`) sums in float32 are then exact, as long as
they stay below 2**24 steps: every runtime computes the same, to the last bit.
"""
