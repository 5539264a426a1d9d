"""Ctrl-C and a reader that went away end a command with a word or none."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

COMMAND = [sys.executable, "-P", "-c"]
COMMAND += ["import sys; from qcore.adapters.cli import main; sys.exit(main())"]


def test_an_interruption_while_writing_leaves_no_file(
    qcore, model: Path, data: Path, tmp_path: Path, monkeypatch
) -> None:
    before = set(tmp_path.iterdir())
    monkeypatch.setattr(Path, "replace", lambda *_: signal.raise_signal(signal.SIGINT))
    result = qcore("quantize", model, "--data", data, "-o", tmp_path / "out.onnx")
    assert result == (130, "", "qcore quantize: interrupted.\n")
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_stops_the_bar_and_leaves_no_file(
    model: Path, npz, digits: np.ndarray, tmp_path: Path
) -> None:
    pty = pytest.importorskip("pty", reason="Windows has no terminals of this kind")
    termios = pytest.importorskip("termios")
    data = npz(image=np.tile(digits, (200, 1, 1, 1)))
    before = set(tmp_path.iterdir())
    terminal, stderr = pty.openpty()
    termios.tcsetwinsize(stderr, (24, 80))
    arguments = ["quantize", model, "--data", data, "-o", tmp_path / "out.onnx"]
    plain = os.environ | {"NO_COLOR": "1"}
    with subprocess.Popen([*COMMAND, *arguments], stderr=stderr, env=plain) as process:
        os.close(stderr)
        said = b""
        while b"calibrating" not in said:
            said += os.read(terminal, 4096)
        process.send_signal(signal.SIGINT)
        said += read_to_end(terminal)
    assert process.returncode == 130
    assert said.endswith(b"\r\nqcore quantize: interrupted.\r\n")
    assert set(tmp_path.iterdir()) == before


def read_to_end(terminal: int) -> bytes:
    said = b""
    try:
        while part := os.read(terminal, 4096):
            said += part
    except OSError:  # how Linux says that the other side has closed
        pass
    return said


@pytest.mark.slow
def test_in_a_pipe_there_is_no_bar(model: Path, data: Path, tmp_path: Path) -> None:
    arguments = ["quantize", model, "--data", data, "-o", tmp_path / "out.onnx"]
    result = subprocess.run([*COMMAND, *arguments], check=False, capture_output=True)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize("argument", ["methods", "--help"])
def test_a_reader_that_went_away_is_no_error_to_speak_of(argument: str) -> None:
    read, write = os.pipe()
    os.close(read)
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    result = subprocess.run(
        [*COMMAND, argument], check=False, stdout=write, stderr=subprocess.PIPE, env=env
    )
    os.close(write)
    assert (result.returncode, result.stderr) == (141, b"")
