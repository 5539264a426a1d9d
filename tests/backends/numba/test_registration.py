"""numba is imported when first needed, and qcore does without what it cannot do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from qcore.backends.numba import compile
from qcore.backends.numba.compile import compiled
from qcore.backends.numba.kernels import SERVED
from qcore.backends.numba.regridding import regrid
from qcore.statistics.tally import K_MAX

SETUP = """
import sys
import numpy as np
import qcore
from qcore.affine import fake_quantize_data
qcore.libraries.load_backends("numpy")
x = np.float32([0.3, 0.6])
qparams = qcore.QParams(np.float32([0.5]), np.int32([0]), qcore.QuantSpec())
"""


def run(code):
    """Return what a process of its own prints."""
    command = [sys.executable, "-P", "-c", SETUP + code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_numba_is_imported_by_the_first_call_that_needs_it():
    code = "print('numba' in sys.modules, end=' ')\n"
    call = "qcore.fake_quantize(x, qparams)\n"
    assert run(code + call + code).split() == ["False", "True"]


def test_a_numba_that_cannot_be_imported_is_done_without():
    code = "sys.modules['numba'] = None\nprint(qcore.fake_quantize(x, qparams))\n"
    values, reasons = run(code + "print(fake_quantize_data.declines)").splitlines()
    assert values == "[0.5 0.5]"
    assert "cannot be imported" in reasons


@pytest.mark.parametrize(
    ("breaking", "reason"),
    [
        ("raise OSError('no libllvmlite.so')", "no libllvmlite.so"),
        ("class config: DISABLE_JIT = True", "NUMBA_DISABLE_JIT is set"),
    ],
)
def test_a_numba_that_cannot_compile_is_done_without(tmp_path, breaking, reason):
    (tmp_path / "numba.py").write_text(breaking)
    code = f"sys.path.insert(0, {str(tmp_path)!r})\n"
    code += "print(qcore.fake_quantize(x, qparams))\n"
    values, reasons = run(code + "print(fake_quantize_data.declines)").splitlines()
    assert values == "[0.5 0.5]"
    assert reason in reasons


def test_work_is_done_without_threads_while_python_exits():
    code = """
import atexit
big = np.ones(1 << 20, np.float32)
atexit.register(lambda: print(qcore.Histogram.of(big, bins=4).counts.sum()))
"""
    assert run(code).split() == [str(1 << 20)]


def test_what_is_kept_on_disk_is_of_the_files_as_they_are(tmp_path, monkeypatch):
    folder = Path(compile.__file__).parent
    for file in folder.glob("*.py"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(compile, "__file__", str(tmp_path / "compile.py"))
    before = compile._folder.__wrapped__("")
    with (tmp_path / "rules.py").open("a") as file:
        file.write("# an edit\n")
    assert compile._folder.__wrapped__("") != before


def test_a_function_whose_code_has_no_place_on_disk_is_compiled_all_the_same():
    space = {}
    exec("def double(x):\n    return 2 * x", space)
    assert compiled(space["double"])(21) == 42


def test_every_kernel_served_has_a_function_of_its_name():
    for module, kernels in SERVED:
        found = vars(pytest.importorskip(f"qcore.backends.numba.{module}"))
        assert {kernel.__name__ for kernel in kernels} <= set(found)


def test_slots_that_leave_the_grid_are_counted_by_exponent():
    counts = np.arange(16).reshape(1, 2, 8)
    exponents = np.zeros((1, 2, 256), np.int64)
    folded, known = regrid(
        counts, exponents, np.int32([-3]), np.full(1, K_MAX, np.int32)
    )
    np.testing.assert_array_equal(folded[0, :, 0], counts.sum(axis=2)[0])
    assert not folded[..., 1:].any()
    octaves = [1, 2 + 3, 4 + 5 + 6 + 7], [9, 10 + 11, 12 + 13 + 14 + 15]
    np.testing.assert_array_equal(known[0, :, 124:127], octaves)
