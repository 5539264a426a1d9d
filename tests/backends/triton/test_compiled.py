"""Without a GPU: every kernel compiles, and computes as it was written."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

if not (find_spec("triton") and find_spec("torch")):
    pytest.skip("triton or torch is not installed", allow_module_level=True)

SCRIPT = Path(__file__).with_name("compile_for.py")
FIRST = "90"
"""The capability for which all is compiled; for others, what may differ."""


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["75", "80", "89", FIRST, "100", "120"])
def test_kernels_compile_to_exact_arithmetic(capability, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(tmp_path)
    amount = "all" if capability == FIRST else "some"
    run = [sys.executable, str(SCRIPT), capability, amount]
    done = subprocess.run(
        run, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["count"] > 10
    assert found["vectors"] > 10
    assert not any(found["wrong"].values()), found["wrong"]
