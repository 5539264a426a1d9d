"""Processes that merge into one record file."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qcore.adapters.records import amct, locking
from qcore.adapters.records.amct import Entry, LayerRecord

EVERYTHING = LayerRecord(
    scale_d=0.1,
    offset_d=-7,
    scale_w=(0.2, 0.3),
    offset_w=(0, 0),
    shift_bit=(1, 2),
    tensor_balance_factor=(1.5, 0.25),
    skip_fusion=False,
    dst_type="INT4",
    act_type="INT16",
    wts_type="INT8",
    fakequant_precision_mode="HIGH",
    scale_h=0.4,
    offset_h=5,
    scale_r=(0.6,),
    offset_r=(0,),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.txt"


MERGING = """
import sys
from qcore.adapters.records.amct import Entry, LayerRecord, merge
print(flush=True)
sys.stdin.readline()
for i in range(20):
    merge(sys.argv[1], {f"{sys.argv[2]}.{i}": Entry(LayerRecord(offset_d=i))})
"""


@pytest.mark.slow  # starts processes
def test_processes_that_merge_at_one_time_lose_nothing(path: Path):
    pipe = subprocess.PIPE
    runs = [
        subprocess.Popen(
            [sys.executable, "-P", "-c", MERGING, path, name], stdin=pipe, stdout=pipe
        )
        for name in "abc"
    ]
    for run in runs:
        run.stdout.readline()
    for run in runs:
        run.communicate(b"\n")
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert set(amct.read(path)) == {f"{name}.{i}" for name in "abc" for i in range(20)}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


HOLDING = """
import sys, time
from pathlib import Path
from qcore.adapters.records.locking import locked
with locked(Path(sys.argv[1])):
    print(flush=True)
    time.sleep(60)
"""


@pytest.mark.slow  # starts a process
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_process_leaves_no_lock(path: Path):
    command = [sys.executable, "-P", "-c", HOLDING, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        run.stdout.readline()
        os.kill(run.pid, signal.SIGKILL)
    start = time.monotonic()
    amct.merge(path, {"a": Entry(EVERYTHING)})
    assert time.monotonic() - start < 5
    assert [file.name for file in path.parent.iterdir()] == [path.name]


unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no flock")


@unix
def test_a_lock_file_that_was_replaced_meanwhile_is_no_lock(path: Path, monkeypatch):
    flock = locking.fcntl.flock

    def late(*arguments: int) -> None:
        path.unlink()
        path.touch()
        flock(*arguments)

    monkeypatch.setattr(locking.fcntl, "flock", late)
    assert locking._taken(path) is None


@unix
def test_a_file_system_without_locks_serves_all_the_same(path: Path, monkeypatch):
    def unsupported(*_: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locking.fcntl, "flock", unsupported)
    amct.merge(path, {"a": Entry(EVERYTHING)})
    assert list(amct.read(path)) == ["a"]


def test_who_waits_too_long_is_told(path: Path, monkeypatch):
    monkeypatch.setattr(locking, "PATIENCE", 0.01)
    with locking.locked(path), pytest.raises(TimeoutError, match=r"record\.txt must"):
        amct.merge(path, {"a": Entry()})
    assert not path.exists()
