"""Scales and zero points in files, on any library."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

import qcore
from qcore import IntFormat, PerBlock, PerChannel, QParams, QuantSpec
from qcore.errors import FileFormatError

SPECS = {
    "encoder/dot:0.lhs": QuantSpec("uint8", symmetric=False),
    "channels": QuantSpec(IntFormat(8, narrow=True), PerChannel((0, -1))),
    "blocks": QuantSpec("float4_e2m1fn", PerBlock(-1, 4), scale_format="float8_e4m3fn"),
    "half": QuantSpec("int4", PerChannel(0), scale_dtype="float16"),
    "brain": QuantSpec("int4", rounding="half_away", scale_dtype="bfloat16"),
    "powers": QuantSpec("int8", scale_format="float8_e8m0fnu", scale_rounding="floor"),
}


def made(x: Any) -> dict[str, QParams]:
    return {name: qcore.qparams_from_data(x, spec) for name, spec in SPECS.items()}


DATA = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)


def test_what_is_saved_on_any_library_is_read_on_it(
    tmp_path: Path, xp: Any, array: Any, to_numpy: Any
) -> None:
    path, saved = tmp_path / "qparams.safetensors", made(array(DATA))
    qcore.save_qparams(path, saved)
    found = qcore.load_qparams(path, xp=xp)
    assert list(found) == list(SPECS)
    for name, one in found.items():
        assert one.spec == SPECS[name] == saved[name].spec
        for field in ("scale", "zero_point", "global_scale"):
            got, wanted = getattr(one, field), getattr(saved[name], field)
            assert (got is None) == (wanted is None)
            if got is not None:
                assert got.dtype == wanted.dtype
                np.testing.assert_array_equal(
                    to_numpy(xp.astype(got, xp.float32)),
                    to_numpy(xp.astype(wanted, xp.float32)),
                )


def test_a_loaded_scale_makes_the_same_codes(tmp_path: Path) -> None:
    path = tmp_path / "qparams.safetensors"
    qcore.save_qparams(path, made(DATA))
    for name, one in qcore.load_qparams(path).items():
        wanted = qcore.quantize(DATA, made(DATA)[name])
        np.testing.assert_array_equal(qcore.quantize(DATA, one), wanted)


def test_other_readers_find_the_arrays_by_name(tmp_path: Path) -> None:
    path = tmp_path / "qparams.safetensors"
    qcore.save_qparams(path, made(DATA))
    with safetensors.safe_open(path, framework="numpy") as file:
        scale = file.get_tensor("channels.scale")
    np.testing.assert_array_equal(scale, np.abs(DATA) / np.float32(127))


def test_what_is_no_qparams_is_refused_before_writing(tmp_path: Path) -> None:
    path = tmp_path / "qparams.safetensors"
    with pytest.raises(TypeError, match="must hold QParams; got ndarray for 'x'"):
        qcore.save_qparams(path, {"x": DATA})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="strings for names; got 3"):
        qcore.save_qparams(path, {3: made(DATA)["half"]})  # type: ignore[dict-item]
    assert not path.exists()


def test_a_file_of_statistics_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    qcore.save(path, {"x": qcore.Range.of(DATA)})
    with pytest.raises(FileFormatError, match="must be a file of qparams"):
        qcore.load_qparams(path)
    qcore.save_qparams(path, made(DATA))
    with pytest.raises(FileFormatError, match="must be a file of statistics"):
        qcore.load(path)


def test_arrays_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    one = made(DATA)["channels"]
    qcore.save_qparams(path, {"x": replace(one, zero_point=one.zero_point[:1])})
    with pytest.raises(FileFormatError, match="do not fit together"):
        qcore.load_qparams(path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        qcore.load_qparams(tmp_path / "none")
