"""Without the extra, what needs no ONNX works and the rest says what to install."""

import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize(
    ("library", "extra", "options"),
    [
        ("PIL", "images", ["--preprocess", "size=8"]),
        ("tokenizers", "text", ["--tokenizer", "tokenizer.json"]),
    ],
)
def test_what_makes_samples_says_what_to_install(
    model: Path, library: str, extra: str, options: list[str]
) -> None:
    (model.parent / "0.png").write_bytes(b"")
    texts = model.with_name("texts.txt")
    texts.write_text("some text")
    data = model.parent if library == "PIL" else texts
    output = model.with_name("out.onnx")
    given = ["quantize", model, "--data", data, *options, "-o", output]
    result = bare(*map(str, given), absent=[library])
    assert (result.returncode, result.stdout, output.exists()) == (2, "", False)
    assert f"needs {library}, which is not installed" in result.stderr
    assert f"pip install 'qcore-quant[{extra}]'" in result.stderr


@pytest.mark.parametrize("command", ["methods", "backends"])
def test_lists_need_no_extra(command: str) -> None:
    assert bare(command).returncode == 0
