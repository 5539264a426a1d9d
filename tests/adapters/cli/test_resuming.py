"""A calibration that was killed goes on where it was, to the same bits."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import qcore as core
from qcore.adapters.onnx.sharding import checkpoint

COMMAND = [sys.executable, "-P", "-c"]
COMMAND += ["import sys; from qcore.adapters.cli import main; sys.exit(main())"]

# The process kills itself while it reads; what was read is noted.
READER = """
import os, pathlib, signal, numpy
from qcore.adapters.onnx.sharding import checkpoint

checkpoint.SHARE = float("inf")  # written after every sample
images = numpy.load("data.npz")["image"]

class Dataset:
    def __len__(self):
        return len(images)

    def __getitem__(self, number):
        with open("read.txt", "a") as file:
            print(number, file=file)
        if number == 5 and "KILL" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return images[number][None]

def dataset():
    return Dataset()

def stream():
    return (Dataset()[number] for number in range(len(images)))
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals of this kind")
@pytest.mark.parametrize(
    ("function", "shard", "first"),
    [("dataset", (), 4), ("stream", (), 0), ("dataset", ("--shard", "1/1"), 4)],
)
def test_a_killed_calibration_goes_on_to_the_same_bits(
    qcore,
    model: Path,
    npz,
    digits: np.ndarray,
    tmp_path: Path,
    monkeypatch,
    equal: Callable[..., None],
    function: str,
    shard: tuple[str, ...],
    first: int,
) -> None:
    data = npz(image=digits)
    module = f"own_{function}_{len(shard)}"  # stays imported
    tmp_path.joinpath(f"{module}.py").write_text(READER, encoding="utf-8")
    monkeypatch.setattr(checkpoint, "SHARE", checkpoint.SHARE)
    output, folder, whole = (tmp_path / name for name in ("out", "done", "whole"))
    given = "calibrate", model, "--reader", f"{module}:{function}", *shard
    given = *given, "--checkpoint", folder, "-o", output
    killed = subprocess.run(
        [*COMMAND, *given], check=False, cwd=tmp_path, env={**os.environ, "KILL": "1"}
    )
    assert (killed.returncode, output.exists()) == (-signal.SIGKILL, False)
    assert list(folder.iterdir()) != []

    noted = tmp_path / "read.txt"
    noted.unlink()
    monkeypatch.chdir(tmp_path)
    code, out, err = qcore(*given)
    assert (code, err) == (0, "")
    numbers = map(int, noted.read_text(encoding="utf-8").split())
    assert list(numbers) == list(range(first, len(digits)))
    assert " 8" in out.splitlines()[-1]
    assert not folder.exists()
    qcore("calibrate", model, "--data", data, "-o", whole)
    equal(core.load(output), core.load(whole))


@pytest.fixture
def stopped(qcore, model: Path, npz, digits: np.ndarray, tmp_path: Path):
    """The arguments of a calibration that failed at its last sample."""
    broken = digits.copy()
    broken[-1] = np.nan
    data, folder = npz(image=broken), tmp_path / "done"
    given = ["calibrate", model, "--data", data, "--checkpoint", folder]
    given += ["-o", tmp_path / "out"]
    assert qcore(*given).code == 1
    return given


def test_a_checkpoint_of_other_samples_is_refused(
    qcore, npz, digits: np.ndarray, stopped
) -> None:
    npz(image=digits[::-1])
    code, _, err = qcore(*stopped)
    assert code == 2
    assert "`checkpoint` must be that of the same model, data, options" in err


def test_a_checkpoint_of_other_options_is_refused(qcore, stopped) -> None:
    code, _, err = qcore(*stopped, "--bins", 300)
    assert code == 2
    assert "`checkpoint` must be that of the same model, data, options" in err


def test_once_the_sample_is_mended_it_goes_on(
    qcore, npz, digits: np.ndarray, stopped, model, tmp_path: Path, equal
) -> None:
    data = npz(image=digits)
    assert qcore(*stopped).code == 0
    qcore("calibrate", model, "--data", data, "-o", tmp_path / "whole")
    equal(core.load(tmp_path / "out"), core.load(tmp_path / "whole"))
