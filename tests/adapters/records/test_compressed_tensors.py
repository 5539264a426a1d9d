"""Configurations of compressed-tensors, by its own code where that is installed."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from qcore import (
    FileFormatError,
    PerBlock,
    PerChannel,
    QuantError,
    QuantSpec,
    fake_quantize,
    qparams_from_data,
)
from qcore.adapters.records import read, write
from tests.adapters.records.cases import DATA, assert_same, decide, of_range

KIND = "compressed-tensors"
SPECS = {
    "a.weight": QuantSpec("int8", PerChannel(0)),
    "a.input": QuantSpec("int8", symmetric=False),
    "a.output": QuantSpec("int8"),
    "b.weight": QuantSpec("int4", PerBlock(1, 4)),
    "c.d.weight": QuantSpec("int4", PerBlock(1, 4)),
    "e.weight": QuantSpec("float8_e4m3fn"),
    "e.input": QuantSpec("float8_e4m3fn"),
}


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    tensors = decide(SPECS)
    write(tmp_path / "a.json", tensors, kind=KIND)
    found = read(tmp_path / "a.json")
    assert_same({name: found[name] for name in tensors}, tensors)
    assert len(found) == len(tensors)


def test_modules_that_are_quantized_alike_are_one_group(tmp_path: Path) -> None:
    write(tmp_path / "a.json", decide(SPECS), kind=KIND)
    groups = json.loads((tmp_path / "a.json").read_text())["config_groups"]
    assert [group["targets"] for group in groups.values()] == [
        ["a"],
        ["b", "c.d"],
        ["e"],
    ]


def test_unsigned_codes_become_signed_ones_of_the_same_reals(tmp_path: Path) -> None:
    tensors = decide({"a.input": QuantSpec("uint8", symmetric=False)})
    write(tmp_path / "a.json", tensors, kind=KIND)
    found = read(tmp_path / "a.json")["a.input"]
    assert found.spec == QuantSpec("int8", symmetric=False)
    expected = fake_quantize(DATA, tensors["a.input"])
    np.testing.assert_array_equal(fake_quantize(DATA, found), expected)


@pytest.fixture
def theirs():
    name = "compressed_tensors.quantization"
    return pytest.importorskip(name, reason="needs compressed-tensors")


def test_their_classes_take_the_configuration(tmp_path: Path, theirs) -> None:
    write(tmp_path / "a.json", decide(SPECS), kind=KIND)
    document = json.loads((tmp_path / "a.json").read_text())
    config = theirs.QuantizationConfig.model_validate(document)
    first = config.config_groups["group_0"]
    assert first.weights.strategy == "channel"
    assert not first.input_activations.symmetric
    assert config.config_groups["group_1"].weights.group_size == 4
    assert config.config_groups["group_2"].weights.type == "float"


def test_their_modules_compute_with_our_scales(tmp_path: Path, theirs) -> None:
    torch = pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    weights = {"0": DATA, "1": DATA.T.copy()}
    tensors = decide(
        {
            "0.weight": QuantSpec("int8", PerChannel(0)),
            "0.input": QuantSpec("int8", symmetric=False),
            "1.weight": QuantSpec("int4", PerBlock(1, 2)),
        }
    )
    tensors["1.weight"] = qparams_from_data(weights["1"], tensors["1.weight"].spec)
    write(tmp_path / "a.json", tensors, kind=KIND)

    model = torch.nn.Sequential(
        torch.nn.Linear(8, 6, bias=False), torch.nn.Linear(6, 8, bias=False)
    )
    document = json.loads((tmp_path / "a.json").read_text())
    config = theirs.QuantizationConfig.model_validate(document)
    theirs.apply_quantization_config(model, config)
    state = load_file(tmp_path / "a.scales.safetensors")
    state |= {f"{n}.weight": torch.asarray(w) for n, w in weights.items()}
    model.load_state_dict(state, strict=False)

    x = np.random.default_rng(2).normal(size=(5, 8)).astype(np.float32)
    hidden = fake_quantize(x, tensors["0.input"])
    hidden = hidden @ fake_quantize(weights["0"], tensors["0.weight"]).T
    expected = hidden @ fake_quantize(weights["1"], tensors["1.weight"]).T
    with torch.no_grad():
        found = model(torch.asarray(x)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_the_configuration_of_a_model_is_read(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "quantization_config": {
            "quant_method": KIND,
            "config_groups": {
                "group_0": {
                    "targets": ["Linear"],
                    "weights": {"num_bits": 8, "strategy": "channel"},
                    "input_activations": None,
                }
            },
        },
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    arrays = {
        "q.weight_scale": np.float16([[1], [2], [3]]),
        "q.weight": np.zeros((3, 4), np.int8),
        "norm.weight": np.ones(4, np.float32),
    }
    save_file(arrays, tmp_path / "model.safetensors")
    found = read(tmp_path / "config.json")
    assert list(found) == ["q.weight"]
    assert found["q.weight"].spec == QuantSpec("int8", PerChannel(0))
    np.testing.assert_array_equal(found["q.weight"].scale, [[1], [2], [3]])


def test_scales_in_bfloat16_are_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    save_torch = pytest.importorskip("safetensors.torch").save_file
    write(tmp_path / "a.json", {"a.input": of_range(-1, 1, QuantSpec())}, kind=KIND)
    scale = torch.tensor([0.0123], dtype=torch.bfloat16)
    save_torch({"a.input_scale": scale}, tmp_path / "a.scales.safetensors")
    assert float(read(tmp_path / "a.json")["a.input"].scale) == float(scale)


@pytest.mark.parametrize(
    ("name", "spec", "said"),
    [
        ("a", QuantSpec(), "the tensor 'a' is called otherwise"),
        ("a.bias", QuantSpec(), "the tensor 'a.bias' is called otherwise"),
        (".weight", QuantSpec(), "the tensor '.weight' is called otherwise"),
        ("a.input", QuantSpec("int8", PerChannel(1)), "has one scale for activations"),
        ("a.weight", QuantSpec("int8", PerChannel(1)), "has scales of rows, or of blo"),
        ("a.weight", QuantSpec("int4", PerBlock(0, 2)), "has scales of rows, or of bl"),
        ("a.weight", QuantSpec("float8_e5m2"), "the tensor 'a.weight' is float8_e5m2"),
    ],
)
def test_what_a_configuration_cannot_hold_is_refused(tmp_path, name, spec, said):
    with pytest.raises(QuantError, match=said):
        write(
            tmp_path / "a.json",
            decide({"b.weight": QuantSpec(), name: spec}),
            kind=KIND,
        )
    assert list(tmp_path.iterdir()) == []


def changed(path: Path, **fields: object) -> None:
    """Write a configuration whose arguments of weights have other fields."""
    write(path, decide({"a.weight": QuantSpec("int8", PerChannel(0))}), kind=KIND)
    document = json.loads(path.read_text())
    document["config_groups"]["group_0"]["weights"] |= fields
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_bits": 99}, r"num_bits must be a whole number in \[2, 16\]; got 99"),
        ({"type": "float", "num_bits": 4}, "type must be int, or float of 8 bits"),
        ({"strategy": "token"}, "must be of the strategy tensor, channel or group"),
        ({"strategy": {}}, "must be of the strategy tensor, channel or group"),
        ({"strategy": "group", "group_size": 0}, "group_size must be a whole number"),
        ({"strategy": None, "group_size": []}, "group_size"),
        ({"dynamic": True}, "dynamic must be false"),
    ],
)
def test_what_is_no_argument_is_refused_with_its_key(tmp_path, fields, said) -> None:
    changed(tmp_path / "a.json", **fields)
    with pytest.raises(FileFormatError, match=said):
        read(tmp_path / "a.json")


def test_scales_that_are_not_there_are_told(tmp_path: Path) -> None:
    changed(tmp_path / "a.json")
    (tmp_path / "a.scales.safetensors").unlink()
    with pytest.raises(FileFormatError, match=r"in a\.scales\.safetensors or model"):
        read(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"a.weight_scale": 1}, "a.weight_scale must be an object"),
        (
            {"a.weight_scale": {"dtype": "F8", "shape": [], "data_offsets": [0, 0]}},
            "a.weight_scale.dtype must be one of F64",
        ),
        (
            {"a.weight_scale": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}},
            "a.weight_scale.shape must be one of 4 bytes of F32",
        ),
        (
            {
                "a.weight_scale": {
                    "dtype": "F32",
                    "shape": [2**31 - 1] * 8,
                    "data_offsets": [0, 2**40],
                }
            },
            "two places in the 4 bytes of data",
        ),
    ],
)
def test_scales_that_are_damaged_are_refused(tmp_path, header, said) -> None:
    changed(tmp_path / "a.json")
    content = json.dumps(header).encode()
    content = len(content).to_bytes(8, "little") + content + bytes(4)
    (tmp_path / "a.scales.safetensors").write_bytes(content)
    with pytest.raises(FileFormatError, match=said):
        read(tmp_path / "a.json")


def test_a_module_that_no_group_names_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.json", decide(SPECS), kind=KIND)
    arrays = {"z.weight_scale": np.ones(1, np.float32)}
    save_file(arrays, tmp_path / "a.scales.safetensors")
    with pytest.raises(FileFormatError, match="no group names the module 'z'"):
        read(tmp_path / "a.json")
