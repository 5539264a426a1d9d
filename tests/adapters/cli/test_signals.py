"""A signal at any time leaves no file behind but what was there before."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

COMMAND = [sys.executable, "-P", "-c"]
COMMAND += ["import sys; from qcore.adapters.cli import main; sys.exit(main())"]

# The process sends itself the signal, at the place that is to be tried.
READER = """
import os, pathlib, signal, numpy
from qcore.adapters.onnx.recovery import recover

where, number = os.environ["WHERE"], int(os.environ["NUMBER"])

def raising(function):
    def raised(*given, **options):
        os.kill(os.getpid(), number)
        return function(*given, **options)
    return raised

def samples():
    images = numpy.load("data.npz")["image"]
    for n, image in enumerate(images):
        if where == "reading" and n == len(images) // 2:
            os.kill(os.getpid(), number)
        yield {"image": image[None]}

if where == "recovery":
    recover.gram_of_inputs = raising(recover.gram_of_inputs)
if where == "saving":
    pathlib.Path.replace = raising(pathlib.Path.replace)
"""

ENDS = {"SIGINT": (130, "interrupted"), "SIGTERM": (143, "terminated")}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals of this kind")
@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("SIGINT", "reading"),
        ("SIGTERM", "reading"),
        ("SIGINT", "recovery"),
        ("SIGTERM", "saving"),
    ],
)
def test_a_signal_ends_a_command_in_order(
    model: Path, npz, digits: np.ndarray, tmp_path: Path, where: str, name: str
) -> None:
    npz(image=digits)
    tmp_path.joinpath("own.py").write_text(READER, encoding="utf-8")
    scratch, output = tmp_path / "scratch", tmp_path / "out.onnx"
    scratch.mkdir()
    output.write_bytes(b"old")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    number = getattr(signal, name)
    said = {"WHERE": where, "NUMBER": str(int(number)), "TMPDIR": str(scratch)}
    said["PYTHONDONTWRITEBYTECODE"] = "1"
    arguments = ["quantize", model, "--reader", "own:samples", "-o", output]
    result = subprocess.run(
        [*COMMAND, *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **said},
    )
    code, word = ENDS[name]
    told = (result.returncode, result.stdout, result.stderr)
    assert told == (code, "", f"qcore quantize: {word}.\n")
    after = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after == before
    # onnxruntime leaves a file of its own as soon as it is imported.
    assert {path.name for path in scratch.iterdir()} <= {".ses"}


def test_a_handler_of_the_caller_s_own_is_left_alone(qcore, monkeypatch) -> None:
    seen = []
    before = signal.signal(signal.SIGTERM, lambda *_: seen.append("term"))
    try:
        monkeypatch.setattr(
            "qcore.adapters.cli.commands.methods.run",
            lambda _: [signal.raise_signal(signal.SIGTERM)],
        )
        assert qcore("methods").code == 0
        assert signal.getsignal(signal.SIGTERM) not in {before, signal.SIG_DFL}
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == ["term"]


def test_afterwards_termination_is_what_it_was(qcore) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert qcore("methods").code == 0
    assert signal.getsignal(signal.SIGTERM) is before
