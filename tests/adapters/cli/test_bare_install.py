"""Without the extra, what needs no ONNX works and the rest says what to install."""

import subprocess
import sys

import pytest

BARE = """
import sys
sys.modules.update(dict.fromkeys({absent}))  # None: as if not installed
from qcore.adapters.cli import main
code = main({arguments})
print(*{{"numpy", "onnx", "torch"}} & sys.modules.keys(), file=sys.stderr)
sys.exit(code)
"""
EXTRA = ["onnx", "onnx_ir", "onnxruntime", "onnxscript", "tqdm"]


def bare(*arguments: str, absent=EXTRA) -> subprocess.CompletedProcess[str]:
    code = BARE.format(arguments=list(arguments), absent=absent)
    run = [sys.executable, "-P", "-c", code]
    return subprocess.run(run, check=False, capture_output=True, text=True)


def test_help_imports_no_library() -> None:
    result = bare("--help", absent=[])
    assert (result.returncode, result.stderr) == (0, "\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["quantize", "m.onnx", "--data", "d.npz", "-o", "o.onnx"],
        ["calibrate", "m.onnx", "--data", "d.npz", "-o", "o"],
        ["demo"],
    ],
)
def test_what_needs_onnx_says_what_to_install(arguments: list[str]) -> None:
    result = bare(*arguments)
    assert result.returncode == 2
    assert f"qcore {arguments[0]}: needs onnx" in result.stderr
    assert "pip install 'qcore-quant[onnx]'" in result.stderr


@pytest.mark.parametrize("command", ["methods", "backends"])
def test_lists_need_no_extra(command: str) -> None:
    assert bare(command).returncode == 0
