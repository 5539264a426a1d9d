"""Many devices give the statistics of one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = {
    "eight_devices": (
        "shard_map",
        "pmap",
        "shard_map_around",
        "pmap_around",
        "replicated",
        "gathered",
        "summed",
        "scanned",
        "branched",
        "branched_apart",
    ),
    "eight_devices_sharded": (
        "another_device",
        "shardings",
        "sharded_batches",
        "explicit",
        "explicit_in_loops",
    ),
}


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def errors():
    """What the checks raise, in processes that have eight devices."""
    found = {}
    for name, checks in CHECKS.items():
        script = Path(__file__).with_name(f"{name}.py")
        done = subprocess.run(
            [sys.executable, "-W", "error", str(script), *checks],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found |= json.loads(done.stdout)
    return found


@pytest.mark.parametrize("check", [one for names in CHECKS.values() for one in names])
def test_eight_devices_find_what_one_does(errors, check):
    assert check not in errors, errors[check]
