"""The kernels in CUDA C on the CPU, in blocks that are small, as the data is."""

import shutil

import pytest

from qcore.backends.cuda import candidates, gradient, rounding, search, tally
from tests.backends.cuda.emulator import Emulator


@pytest.fixture
def device(monkeypatch):
    """An emulated device, whose blocks have two warps."""
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    for module in (tally, rounding, gradient, candidates, search):
        monkeypatch.setattr(module, "THREADS", 64)
    monkeypatch.setattr(gradient, "SHARED", 16)
    monkeypatch.setattr(gradient, "LONG", 200)
    monkeypatch.setattr(candidates, "SCANNED", 64)
    return Emulator()
