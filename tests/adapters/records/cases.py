"""Tensors of every kind, to write records of."""

from collections.abc import Mapping

import numpy as np

from qcore import (
    IntFormat,
    PerBlock,
    PerChannel,
    QParams,
    QuantSpec,
    block_spec,
    qparams_from_data,
    qparams_from_range,
)

DATA = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)

INT8 = {
    "image": QuantSpec("int8"),
    "conv/out:0": QuantSpec(IntFormat(8)),
}
PER_TENSOR = INT8 | {
    "uint8": QuantSpec("uint8", symmetric=False),
    "signed": QuantSpec("int8", symmetric=False),
    "int4": QuantSpec("int4"),
    "int16": QuantSpec("int16"),
    "größe": QuantSpec("uint8"),
}
PER_CHANNEL = {
    "rows": QuantSpec("int8", PerChannel(0)),
    "uint4 rows": QuantSpec("uint4", PerChannel(0), symmetric=False),
}
COLUMNS = {
    "columns": QuantSpec("int8", PerChannel(1)),
    "last": QuantSpec("int8", PerChannel(-1), symmetric=False),
}
BLOCKS = {
    "blocks": QuantSpec("int4", PerBlock(1, 4)),
    "uint blocks": QuantSpec("uint4", PerBlock(-1, 4), symmetric=False),
}
FLOAT8 = {
    "e4m3": QuantSpec("float8_e4m3fn"),
    "e5m2 rows": QuantSpec("float8_e5m2", PerChannel(0)),
}
OTHERS = {
    "narrow": QuantSpec(IntFormat(8, narrow=True), rounding="half_away"),
    "half": QuantSpec("int8", scale_dtype="float16"),
    "brain": QuantSpec("int8", scale_dtype="bfloat16"),
    "powers": QuantSpec("int8", scale_format="float8_e8m0fnu", scale_rounding="floor"),
    "mx": block_spec("mxfp4", -1),
    "nv": block_spec("nvfp4", -1),
}


def decide(specs: Mapping[str, QuantSpec]) -> dict[str, QParams]:
    """Return scales of the data times 1, 2, … under each spec."""
    return {
        name: qparams_from_data(DATA * (n + 1), spec)
        if spec.granularity != QuantSpec().granularity
        else of_range(-1.5 * (n + 1), 2.3 + n, spec)
        for n, (name, spec) in enumerate(specs.items())
    }


def of_range(low: float, high: float, spec: QuantSpec) -> QParams:
    return qparams_from_range(np.float32(low), np.float32(high), spec)


def assert_same(found: Mapping[str, QParams], expected: Mapping[str, QParams]) -> None:
    """Compare all of two records, scales bit for bit."""
    assert list(found) == list(expected)
    for name, one in expected.items():
        assert found[name].spec == one.spec
        np.testing.assert_array_equal(found[name].scale, one.scale, strict=True)
        zeros = one.zero_point
        np.testing.assert_array_equal(found[name].zero_point, zeros, strict=True)
        np.testing.assert_array_equal(found[name].global_scale, one.global_scale)
