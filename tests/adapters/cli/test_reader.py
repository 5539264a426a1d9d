"""What --reader gives, and what it must not give: one sentence and nothing written."""

from collections.abc import Callable
from pathlib import Path

import pytest

import qcore as core

HEAD = """\
import itertools
import numpy
def image(value=1):
    return numpy.full((1, 1, 8, 8), value, numpy.float32)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch, request) -> Callable[[str], str]:
    """A function that writes a module and gives the name of its function `give`."""
    monkeypatch.chdir(tmp_path)

    def write(code: str) -> str:
        # Of a name of its own: Python keeps what it has imported.
        name = "own_" + str(abs(hash((request.node.name, code))))
        (tmp_path / f"{name}.py").write_text(HEAD + code)
        return f"{name}:give"

    return write


@pytest.fixture
def refused(qcore, model: Path, tmp_path: Path) -> Callable[[str], str]:
    def run(reader: str, code: int = 2) -> str:
        output = tmp_path / "out.onnx"
        result = qcore("quantize", model, "--reader", reader, "-o", output)
        assert (result.code, result.out, output.exists()) == (code, "", False)
        assert result.err.count("\n") == 1
        return result.err

    return run


@pytest.mark.parametrize(
    "code",
    [
        "def give(): return [image(v) for v in range(8)]",
        "def give(): yield from map(image, range(8))",
        "def give(): return iter([{'image': image(v)} for v in range(8)])",
        "def give(): return ([image(v), 'label'] for v in range(8))",
        "def give(): return list(numpy.stack([image(v) for v in range(8)]))",
        """
class give:
    def __len__(self): return 8
    def __getitem__(self, number): return image(range(8)[number])
""",
        """
class give:
    values = iter(range(8))
    def get_next(self):
        value = next(self.values, None)
        return None if value is None else {'image': image(value)}
""",
        """
from onnxruntime.quantization import CalibrationDataReader
class give(CalibrationDataReader):
    values = iter(range(8))
    def get_next(self):
        value = next(self.values, None)
        return None if value is None else {'image': image(value)}
""",
        """
from pathlib import Path
def give():
    numpy.savez('data.npz', image=numpy.concatenate([image(v) for v in range(8)]))
    return Path('data.npz')
""",
    ],
    ids=[
        *("list", "generator", "iterator", "labels", "array", "dataset"),
        *("get_next", "onnxruntime", "path"),
    ],
)
def test_samples_may_come_in_many_ways(qcore, model, own, tmp_path, code) -> None:
    output = tmp_path / "stats"
    code, out, err = qcore("calibrate", model, "--reader", own(code), "-o", output)
    assert (code, err) == (0, "")
    assert "Calibrated on 8 samples" in out
    seen = core.load(output)["image"]
    assert (seen.max, seen.zeros) == (7, 64)


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        ("json", "must be MODULE:FUNCTION; got 'json'"),
        ("no_such_module:f", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("json:no_such", "has no attribute 'no_such'"),
        ("json:loads", "TypeError: loads() missing"),
    ],
)
def test_a_reader_that_is_none(refused, reader: str, said: str) -> None:
    assert said in refused(reader)


@pytest.mark.parametrize(
    "code",
    [
        "def give():\n    yield from [image(), image()]\n    raise {}",
        """
class give:
    number = 0
    def get_next(self):
        self.number += 1
        if self.number > 2: raise {}
        return dict(image=image())
""",
        """
class give:
    def __len__(self): return 9
    def __getitem__(self, number):
        if number == 2: raise {}
        return image()
""",
    ],
    ids=["generator", "get_next", "dataset"],
)
@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("RuntimeError('the camera is off')", "RuntimeError in sample 2: the camera"),
        ("KeyError('left')", "KeyError in sample 2: 'left'"),
        ("SystemExit(0)", "SystemExit in sample 2: 0"),
    ],
)
def test_a_reader_that_raises_midway_is_told_with_the_sample(
    refused, own, code: str, error: str, said: str
) -> None:
    assert said in refused(own(code.format(error)))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "raise OSError('no camera')\ndef give(): pass",
            "it raises OSError: no camera",
        ),
        ("def give(): raise SystemExit(3)", "it raises SystemExit: 3"),
        ("raise SystemExit(3)", "it raises SystemExit: 3"),
        ("give = 7", "must give samples; it is no function"),
        ("def give(): return None", "`data` must be an .npz file"),
        ("def give(): return 7", "`data` must be an .npz file"),
        ("def give(): return image()", "`data` must be an .npz file"),
        ("def give(): return {'image': image()}", "`data` must be an .npz file"),
        ("async def give(): yield image()", "`data` must be an .npz file"),
        ("def give(): return 'nowhere.npz'", "there is no file 'nowhere.npz'"),
        ("def give(): return []", "`data` must hold at least one sample"),
        ("def give(): yield from ()", "`data` must hold at least one sample"),
        ("def give(): return [None]", "must be float32 [N, 1, 8, 8]; got NoneType in"),
        ("def give(): return ['image']", "got <U5 [] in sample 0"),
        ("def give(): return [image(), b'image']", "got |S5 [] in sample 1"),
        ("def give(): return [[]]", "input 'image' of the model must be given"),
        ("def give(): return [{}]", "input 'image' of the model must be given"),
        ("def give(): return [{'Image': image()}]", "did you mean 'image'?"),
        ("def give(): return [{'image': image(), 'y': 1}]", "has no input 'y'"),
        ("def give(): return [image()[0]]", "got float32 [1, 8, 8] in sample 0"),
        ("def give(): return [image().astype('int64')]", "got int64 [1, 1, 8, 8]"),
        ("def give(): return [image() * 1j]", "got complex64 [1, 1, 8, 8]"),
        ("def give(): return [image(), [[[1.0], [1.0, 2.0]]]]", "in sample 1"),
        ("def give(): return [{'image': [[1], [1, 2]]}]", "no array, in sample 0"),
    ],
)
def test_a_reader_of_nonsense_is_refused(refused, own, code: str, said: str) -> None:
    assert said in refused(own(code))


@pytest.mark.parametrize("value", ["numpy.nan", "numpy.inf", "-numpy.inf"])
def test_what_is_not_finite_is_told_with_the_sample(refused, own, value) -> None:
    said = refused(own(f"def give(): return [image(), image({value})]"), code=1)
    assert "in sample 1; its input 'image' does too" in said


def test_numbers_that_are_too_large_for_the_input_are_told(refused, own) -> None:
    code = "def give(): return [image().astype('float64') * 1e300]"
    assert "'image' holds infinity in sample 0" in refused(own(code), code=1)
