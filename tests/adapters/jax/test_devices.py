"""Many devices give the statistics of one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = (
    "shard_map",
    "pmap",
    "shard_map_around",
    "pmap_around",
    "replicated",
    "gathered",
    "summed",
    "scanned",
    "another_device",
    "shardings",
    "sharded_batches",
    "explicit",
    "explicit_in_loops",
)


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def errors():
    """What the checks raise, in a process that has eight devices."""
    script = Path(__file__).with_name("eight_devices.py")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(script), *CHECKS],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("check", CHECKS)
def test_eight_devices_find_what_one_does(errors, check):
    assert check not in errors, errors[check]
