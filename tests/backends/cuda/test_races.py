"""ThreadSanitizer finds no race between the threads of a block."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def report(*flags):
    """Return what ThreadSanitizer says of the kernels, or skip where there is none."""
    if not (shutil.which("g++") and shutil.which("setarch")):
        pytest.skip("g++ or setarch is not installed")
    ask = ["g++", "-print-file-name=libtsan.so"]
    library = subprocess.run(ask, check=True, capture_output=True, text=True).stdout
    if not Path(library.strip()).is_absolute():
        pytest.skip("g++ has no ThreadSanitizer")
    environment = {
        **os.environ,
        "LD_PRELOAD": str(Path(library.strip()).resolve()),
        "TSAN_OPTIONS": "ignore_noninstrumented_modules=1 exitcode=0",
        "OPENBLAS_NUM_THREADS": "1",
    }
    # Last, as the folder `qcore` there hides the installed package.
    code = f"import sys; sys.path.append({str(ROOT)!r})\n"
    code += f"from tests.backends.cuda.races import main; main(*{flags!r})"
    # Its shadow memory has no room where addresses are random.
    command = ["setarch", "-R", sys.executable, "-P", "-c", code]
    run = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode:
        pytest.fail(run.stderr[-2000:])
    return run.stderr


@pytest.mark.slow
def test_no_race_is_found():
    assert "data race" not in report()


@pytest.mark.slow
def test_a_race_would_be_found():
    assert "data race" in report("-DNO_SYNC")
