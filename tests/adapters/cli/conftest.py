"""The digits network and data in files, and a way to run a command on them."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, save

from qcore.adapters.cli import main

SHIPPED = files("qcore.adapters.demo")


class Result(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def qcore(capsys: pytest.CaptureFixture[str]) -> Command:
    """A function that runs a command line and gives exit code and outputs."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def digits() -> np.ndarray:
    """Eight images as the network wants them."""
    with SHIPPED.joinpath("digits.npz").open("rb") as file, np.load(file) as arrays:
        return arrays["calibration"][:8].astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "digits.onnx"
    path.write_bytes(SHIPPED.joinpath("digits.onnx").read_bytes())
    return path


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a data file of named arrays."""

    def write(**arrays: Any) -> Path:
        path = tmp_path / "data.npz"
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture
def data(npz: Callable[..., Path], digits: np.ndarray) -> Path:
    return npz(image=digits)


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    """A model without an operator that could compute in int8."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 4]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
    return _saved(helper.make_model(graph), tmp_path / "relu.onnx")


def _saved(model: ModelProto, path: Path) -> Path:
    save(model, path)
    return path


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare the bits of all statistics, and the order of their names."""
    assert list(found) == list(expected)
    for name, state in expected.items():
        for field in state.array_fields():
            ours, theirs = getattr(found[name], field), getattr(state, field)
            np.testing.assert_array_equal(ours, theirs, strict=True)


@pytest.fixture
def equal() -> Callable[..., None]:
    return assert_equal
