from importlib.resources import files

import pytest


@pytest.mark.parametrize("name", ["digits.onnx", "digits.npz"])
def test_a_file_of_the_demo_is_smaller_than_100_kilobytes(name: str) -> None:
    shipped = files("qcore.adapters.demo") / name
    assert 0 < len(shipped.read_bytes()) < 100_000
