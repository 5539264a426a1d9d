"""Encodings of AIMET, as it writes and reads them."""

import json
from pathlib import Path

import numpy as np
import pytest

from qcore import FileFormatError, PerChannel, QuantError, QuantSpec
from qcore.adapters.records import read, write
from tests.adapters.records.cases import (
    BLOCKS,
    COLUMNS,
    FLOAT8,
    OTHERS,
    PER_CHANNEL,
    PER_TENSOR,
    assert_same,
    decide,
)

VERSIONS = ("0.6.1", "1.0.0", "2.0.0")

# What aimet-onnx 2.42.0 exported of one model, less what is not read.
EXPORTED = {
    "0.6.1": {
        "activation_encodings": {
            "x": [
                {
                    "bitwidth": 8,
                    "dtype": "int",
                    "is_symmetric": "False",
                    "max": 3.074084073422002,
                    "min": -3.0982894598268995,
                    "offset": -128.0,
                    "scale": 0.024205386404897652,
                }
            ],
        },
        "param_encodings": {
            "w": [
                {
                    "bitwidth": 8,
                    "dtype": "int",
                    "is_symmetric": "True",
                    "max": 2.3068665005266666,
                    "min": -2.32503080368042,
                    "offset": -128.0,
                    "scale": scale,
                }
                for scale in (0.01816430315375328, 0.015435105189681053)
            ],
        },
        "version": "0.6.1",
    },
    "1.0.0": {
        "activation_encodings": [
            {
                "bw": 8,
                "dtype": "INT",
                "enc_type": "PER_TENSOR",
                "is_sym": False,
                "name": "x",
                "offset": [-128.0],
                "scale": [0.024205386404897652],
            }
        ],
        "param_encodings": [
            {
                "bw": 8,
                "dtype": "INT",
                "enc_type": "PER_CHANNEL",
                "is_sym": True,
                "name": "w",
                "offset": [-128.0, -128.0],
                "scale": [0.01816430315375328, 0.015435105189681053],
            }
        ],
        "version": "1.0.0",
    },
    "2.0.0": {
        "encodings": [
            {
                "name": "x",
                "output_dtype": "uint8",
                "y_scale": 0.024205386404897652,
                "y_zero_point": 128,
            },
            {
                "axis": 0,
                "name": "w",
                "output_dtype": "int8",
                "y_scale": [0.01816430315375328, 0.015435105189681053],
            },
        ],
        "version": "2.0.0",
    },
}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_aimet_exports_is_read(tmp_path: Path, version: str) -> None:
    path = tmp_path / "model.encodings"
    path.write_text(json.dumps(EXPORTED[version]))
    found = read(path)
    assert list(found) == ["x", "w"]
    assert found["x"].spec == QuantSpec("uint8", symmetric=False)
    assert found["x"].scale == np.float32(0.024205386404897652)
    assert found["x"].zero_point == 128
    assert found["w"].spec == QuantSpec("int8", PerChannel(0))
    expected = np.float32([0.01816430315375328, 0.015435105189681053])
    np.testing.assert_array_equal(found["w"].scale, expected)
    np.testing.assert_array_equal(found["w"].zero_point, [0, 0])


@pytest.mark.parametrize("version", VERSIONS)
def test_scales_per_tensor_come_back(tmp_path: Path, version: str) -> None:
    tensors = decide(PER_TENSOR)
    write(tmp_path / "a.encodings", tensors, version=version)
    assert_same(read(tmp_path / "a.encodings"), tensors)


def test_the_newest_version_holds_blocks_and_float8(tmp_path: Path) -> None:
    tensors = decide(BLOCKS | {"e4m3": FLOAT8["e4m3"]})
    write(tmp_path / "a.encodings", tensors)
    assert_same(read(tmp_path / "a.encodings"), tensors)


def test_axes_come_back_without_those_behind_them(tmp_path: Path) -> None:
    tensors = decide(PER_CHANNEL | COLUMNS)
    write(tmp_path / "a.encodings", tensors)
    found = read(tmp_path / "a.encodings")
    shapes = {"rows": (6,), "uint4 rows": (6,), "columns": (1, 8), "last": (8,)}
    for name, one in tensors.items():
        assert found[name].spec == one.spec
        assert found[name].scale.shape == shapes[name]
        np.testing.assert_array_equal(found[name].scale.ravel(), one.scale.ravel())
        zeros = one.zero_point.ravel()
        np.testing.assert_array_equal(found[name].zero_point.ravel(), zeros)


@pytest.mark.parametrize(
    ("version", "specs", "said"),
    [
        ("2.0.0", {"a": OTHERS["nv"]}, "the tensor 'a' is float4_e2m1fn"),
        ("1.0.0", FLOAT8, "encodings 1.0.0 holds integers alone; .* 'e4m3' is float8"),
        ("1.0.0", BLOCKS, "knows no blocks; the tensor 'blocks' has some of 4"),
        ("0.6.1", BLOCKS, "encodings 0.6.1 knows no blocks; the tensor 'blocks'"),
        (
            "2.0.0",
            {"a": QuantSpec("int8", PerChannel((0, 1)))},
            r"along one axis; the tensor 'a' has scales of the shape \(6, 8\)",
        ),
    ],
)
def test_what_a_version_cannot_hold_is_refused(tmp_path, version, specs, said) -> None:
    with pytest.raises(QuantError, match=said):
        write(tmp_path / "a.encodings", decide(specs), version=version)
    assert not (tmp_path / "a.encodings").exists()


def test_there_are_no_other_versions(tmp_path: Path) -> None:
    with pytest.raises(QuantError, match="`version` must be one of"):
        write(tmp_path / "a.encodings", {}, version="3.0.0")


@pytest.mark.parametrize(
    "encoding",
    [
        {"output_dtype": "int32", "y_scale": 0.1},
        {"output_dtype": "float16"},
        {"dtype": "FLOAT", "bw": 16, "enc_type": "PER_TENSOR"},
        {
            "dtype": "INT",
            "bw": 32,
            "is_sym": True,
            "scale": [0.1],
            "offset": [-(2**31)],
            "enc_type": "PER_TENSOR",
        },
    ],
)
def test_biases_and_floats_are_left_out(tmp_path: Path, encoding) -> None:
    new = "output_dtype" in encoding
    document = {"version": "2.0.0" if new else "1.0.0"}
    document["encodings" if new else "param_encodings"] = [{"name": "a", **encoding}]
    (tmp_path / "a.encodings").write_text(json.dumps(document))
    assert read(tmp_path / "a.encodings") == {}


def changed(version: str, **fields: object) -> str:
    """Return an exported document whose first tensor has other fields."""
    document = json.loads(json.dumps(EXPORTED[version]))
    if version == "2.0.0":
        document["encodings"][0] |= fields
    elif version == "1.0.0":
        document["activation_encodings"][0] |= fields
    else:
        document["activation_encodings"]["x"][0] |= fields
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"version": "3.0.0", "encodings": []}', "version must be one of 0.6.1"),
        ('{"version": 2, "encodings": []}', "version must be a string; got 2"),
        ('{"version": "2.0.0"}', "must be an object with the key 'encodings'"),
        ('{"version": "2.0.0", "encodings": {}}', "encodings must be a list; got {}"),
        ('{"version": "2.0.0", "encodings": [1]}', r"encodings\[0\] must be an object"),
        (changed("2.0.0", name="w"), "the tensor 'w' is there twice"),
        (changed("2.0.0", y_scale=-1), "a scale must be a positive normal float32"),
        (changed("2.0.0", y_scale="1"), r"encodings\[0\].y_scale must be a number"),
        (changed("2.0.0", y_scale=[[1], [1, 2]]), "a list of equally long ones"),
        (changed("2.0.0", y_scale=[1, 2]), "object with the key 'axis'"),
        (changed("2.0.0", y_scale=[1, 2], axis=9), r"a whole number in \[-8, 7\]"),
        (changed("2.0.0", y_zero_point=256), r"must lie in \[0, 255\]; got 256"),
        (changed("2.0.0", y_zero_point=0.5), "y_zero_point must be a whole number"),
        (changed("2.0.0", output_dtype="int99"), r"encodings\[0\]: .*int99"),
        (changed("2.0.0", output_dtype="float8_e8m0fnu"), "is a format of scales"),
        (changed("2.0.0", y_scale=[1, 2], axis=0), "of as many as there are zero"),
        (changed("2.0.0", y_scale=[[1, 2]], axis=0), "y_scale must be a number, or"),
        (changed("2.0.0", per_block_int_scale=[1]), r"\(LPBQ\) are not read"),
        (changed("1.0.0", bw=64), r"bw must be a whole number in \[2, 16\]; got 64"),
        (changed("1.0.0", scale=[1, 2]), "as many scales as zero points"),
        (changed("1.0.0", scale=[]), "as many scales as zero points"),
        (changed("1.0.0", enc_type="LPBQ"), "enc_type must be PER_TENSOR or"),
        (changed("1.0.0", zero_point_shift=[0.5]), "zero_point_shift must be 0"),
        (changed("1.0.0", is_sym="True"), "is_sym must be true or false; got 'True'"),
        (changed("0.6.1", is_symmetric="x"), 'is_symmetric must be "True" or "False"'),
        (changed("0.6.1", offset=1e9), r"must lie in \[0, 255\]; got -1000000000"),
    ],
)
def test_what_is_no_encoding_is_refused_with_its_key(tmp_path, text, said) -> None:
    (tmp_path / "a.encodings").write_text(text)
    with pytest.raises(FileFormatError, match=said):
        read(tmp_path / "a.encodings", kind="aimet")
