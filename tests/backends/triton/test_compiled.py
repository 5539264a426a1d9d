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
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("compiled where Triton does not interpret", allow_module_level=True)

ROOT = Path(__file__).parents[3]
CAPABILITIES = {"all": ["90"], "some": ["75", "80", "89", "100", "120"]}
"""The one that all is compiled for; those that have what may differ. One process takes
less time than one for each, which has to import Triton."""
SEARCHES = (
    "add_gain affine_gain compare diverge "
    "fill_sums fill_tails find_below fine_errors score"
)
LOGARITHMS = {"diverge", "fill_sums", "score"}
OF_LOGARITHMS = {"fma.rn.f64", "rcp.approx.ftz.f64"}
"""What libdevice computes them of, in those kernels: a division that starts from an
approximation, and a polynomial. The error is below one bit."""


def compiled(script, folder):
    """Return what a script of this folder prints, by how much is compiled."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder)}
    # Last, as the folder `qcore` there hides the installed package.
    code = f"import sys; sys.path.append({str(ROOT)!r})\n"
    code += f"from tests.backends.triton.{script} import main; main({CAPABILITIES!r})"
    run = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        run, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_counting_and_rounding_compile_to_exact_arithmetic(tmp_path):
    for amount, found in compiled("compile_rounding", tmp_path).items():
        assert found["count"] > 10, amount
        assert found["vectors"] > 10, amount
        assert not found["wrong"], amount


@pytest.mark.slow
def test_searches_compile_to_exact_double_precision(tmp_path):
    for amount, found in compiled("compile_searches", tmp_path).items():
        assert found["names"] == SEARCHES.split(), amount
        assert not found["narrow"], amount
        for name, wrong in found["wrong"].items():
            assert name in LOGARITHMS
            assert set(wrong) <= OF_LOGARITHMS
