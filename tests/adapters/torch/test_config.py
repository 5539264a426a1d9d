import json

import pytest
import torch
from torch import nn

from qcore.adapters.torch.configuration.presets import PRESETS
from qcore.adapters.torch.configuration.reading import read_config


def chosen(config, module, name="layer"):
    return read_config(config).choose(name, module)[0]


def test_s3_25_default_is_per_tensor_activations_and_per_channel_weights():
    choice = chosen(None, nn.Linear(4, 3))

    assert choice.input.descriptor.axis is None
    assert choice.input.descriptor.calib_method == "mse"
    assert choice.weight.descriptor.axis == 0


def test_the_first_rule_that_matches_wins():
    rules = [{"name": "head*", "skip": True}, {"input": "int4"}]

    assert chosen(rules, nn.Linear(2, 2), "head.fc") is None
    assert chosen(rules, nn.Linear(2, 2), "body").input.descriptor.format == "int4"


@pytest.mark.parametrize("wanted", ["Linear", "nn.Linear", "torch.nn.Linear"])
def test_type_is_the_name_of_a_class(wanted):
    rules = [{"type": wanted, "input": "int8"}]

    assert chosen(rules, nn.Linear(2, 2)) is not None
    assert chosen(rules, nn.Conv1d(2, 2, 1)) is None


def test_where_is_a_function_of_name_and_module():
    rules = [{"where": lambda name, m: name and m.out_features > 2, "input": "int8"}]

    assert chosen(rules, nn.Linear(2, 3)) is not None
    assert chosen(rules, nn.Linear(2, 2)) is None


@pytest.mark.parametrize("write", [json.dumps, str])
def test_text_is_json_or_yaml(write):
    text = write([{"name": "a*", "weight": {"num_bits": 4, "axis": "output"}}])

    assert chosen(text, nn.Linear(2, 2), "abc").weight.descriptor.num_bits == 4


def test_a_path_is_read(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("- {preset: int8}\n")

    assert read_config(path) == read_config(str(path)) == read_config("int8")


def test_a_rule_adds_to_a_preset():
    rules = [{"preset": "int8", "type": "Linear", "input": {"calib_method": "max"}}]

    choice = chosen(rules, nn.Linear(2, 2))
    assert choice.input.descriptor.calib_method == "max"
    assert choice.weight.descriptor.axis == 0
    assert chosen(rules, nn.Conv1d(2, 2, 1)) is None


@pytest.mark.parametrize(
    ("module", "output", "reduced", "activation"),
    [
        (nn.Linear(2, 3), 0, 1, -1),
        (nn.Conv2d(2, 3, 1), 0, 1, -3),
        (nn.ConvTranspose1d(2, 3, 1), 1, 0, -2),
    ],
)
def test_axes_have_names(module, output, reduced, activation):
    rule = {"input": {"axis": "input"}, "weight": {"axis": "output"}}
    blocks = {"weight": {"block_sizes": {"input": 16}}}

    assert chosen([rule], module).input.descriptor.axis == activation
    assert chosen([rule], module).weight.descriptor.axis == output
    assert chosen([blocks], module).weight.descriptor.block_sizes == {reduced: 16}


def test_dynamic_quantizers_have_no_calibrator():
    choice = chosen([{"input": {"dynamic": True}}], nn.Linear(2, 2))

    assert choice.input.make().calibrator is None


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_quantize_a_convolution(preset):
    choice = chosen(preset, nn.Conv2d(8, 8, 1))

    quantized = choice.weight.make()(torch.randn(8, 8, 1, 1))
    assert quantized.isfinite().all()


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ([{"inptu": "int8"}], ValueError, "rule 1.*'inptu'.*'input'"),
        ([{"name": "a", "input": {"num_bit": 8}}], ValueError, "'a'.*'num_bits'"),
        ([{"input": "int"}], TypeError, "rule 1"),
        ([{"name": 3, "input": "int8"}], TypeError, "rule 1"),
        ([{"preset": "int9"}], ValueError, "'int8'"),
        ("int9", ValueError, "'int8'"),
        ([{"skip": True, "input": "int8"}], ValueError, "alone"),
        ([{"name": "a"}], ValueError, "must say"),
        ([{"where": "a", "skip": True}], TypeError, "callable"),
        ([{"skip": "yes"}], TypeError, "`skip`"),
        ([{"input": {"axis": "output"}}], ValueError, "axis of the input"),
        ([{"input": {"fake_quant": False}}], ValueError, "fake_quant"),
        ([{"functions": {"matmul": "int8"}}], ValueError, "selected"),
        ([{"name": "a", "functions": {"mm": "int8"}}], ValueError, "'mm'"),
        (["int8"], TypeError, "rule 1"),
        ({"rules": [], "rule": []}, ValueError, "rule"),
        (8, TypeError, "`config`"),
        ("a: [", ValueError, "YAML"),
    ],
)
def test_what_is_not_valid_is_named(config, error, message):
    with pytest.raises(error, match=message):
        read_config(config)
