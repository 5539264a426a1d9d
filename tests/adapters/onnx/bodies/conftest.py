"""Models of products inside of If and Loop, and samples."""

import numpy as np
import pytest

from tests.adapters.onnx.bodies.graphs import (
    BRANCHED,
    BRANCHES,
    LOOP,
    LOOPED,
    NESTED,
    integers,
)


@pytest.fixture
def looped(build, rng):
    given = {"v": integers(rng, 4, 4, most=1), "w": integers(rng, 4, 3)}
    bounds = {"low": np.float32(-9), "high": np.float32(9)}
    return build(*LOOPED, LOOP, **given, **bounds)


@pytest.fixture
def runs(rng):
    return [
        {"x": integers(rng, 2, 4), "n": np.asarray(count)} for count in (3, 0, 1, 5, 4)
    ]


@pytest.fixture
def rough(build, rng):
    """The same with numbers that need rounding, and samples."""
    v, w, x = rng.normal(size=(3, 4, 4)).astype(np.float32) / 2
    bounds = {"low": np.float32(-9), "high": np.float32(9)}
    model = build(*LOOPED, LOOP, v=v, w=w[:, :3], **bounds)
    return model, [{"x": 3 * x, "n": np.asarray(count)} for count in (3, 2, 1)]


@pytest.fixture
def branched(build, rng):
    return build(*BRANCHED, BRANCHES, v=integers(rng, 4, 4), w=integers(rng, 4, 3))


@pytest.fixture
def choices(rng):
    return [{"x": integers(rng, 2, 4), "p": np.asarray(p)} for p in (True, False, True)]


@pytest.fixture
def nested(build, rng):
    given = {"v": integers(rng, 4, 4, most=1), "w": integers(rng, 4, 3)}
    bounds = {"low": np.float32(-9), "high": np.float32(9), "two": np.int64(2)}
    return build(*LOOPED, NESTED, **given, **bounds)
