"""Many devices give the statistics of one."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_eight_devices_count_what_one_does() -> None:
    script = Path(__file__).with_name("eight_devices.py")
    done = subprocess.run(
        [sys.executable, "-P", str(script)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
