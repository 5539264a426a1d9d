import logging

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from qcore.adapters.torch.configuration.reading import read_config
from qcore.adapters.torch.nn.modules.quant_conv import QuantConv2d
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.rewriting.replacing import replace_modules


def replaced(model, config="int8"):
    return replace_modules(model, read_config(config))


def test_layers_are_replaced_in_place():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sequential(nn.Linear(2, 2)))

    done = replaced(model)
    assert done.model is model
    assert done.replaced == ("0", "1.0")
    assert isinstance(model[0], QuantConv2d)
    assert isinstance(model[1][0], QuantLinear)


def test_parameters_are_the_same_objects():
    model = nn.Sequential(nn.Linear(2, 2))
    before = dict(model.named_parameters())

    replaced(model)
    assert all(before[name] is p for name, p in model.named_parameters())


def test_a_shared_module_is_replaced_by_one():
    layer = nn.Linear(2, 2)
    model = nn.ModuleDict({"a": layer, "b": layer, "c": nn.Sequential(layer)})

    assert replaced(model).replaced == ("a",)
    assert model["a"] is model["b"] is model["c"][0]
    assert isinstance(model["a"], QuantLinear)


def test_a_model_that_is_a_layer_gives_its_replacement():
    assert isinstance(replaced(nn.Linear(2, 2)).model, QuantLinear)


def test_subclasses_and_parametrized_modules_are_left_and_reported(caplog):
    class Mine(nn.Linear):
        pass

    model = nn.Sequential(Mine(2, 2), parametrizations.weight_norm(nn.Linear(2, 2)))
    done = replaced(model)
    assert set(done.left) == {"0", "1"}
    assert "Mine is a subclass of Linear" in caplog.text
    assert "parametrized Linear" in caplog.text


def test_the_function_of_multi_head_attention_is_left_and_reported():
    model = nn.Sequential(nn.MultiheadAttention(4, 1))
    rule = {"type": "MultiheadAttention", "functions": {"linear": "int8"}}

    assert "one function" in replaced(model, [rule]).left["0"]


def test_rules_that_matched_nothing_are_reported_together(caplog):
    rules = [{"name": "a*", "skip": True}, {"type": "LSTM", "input": "int8"}]

    with caplog.at_level(logging.WARNING):
        done = replaced(nn.Sequential(nn.Linear(2, 2)), rules)
    assert done.unmatched == ("rule 1 of name='a*'", "rule 2 of type='LSTM'")
    assert len(caplog.records) == 1


def test_what_is_not_chosen_passes_as_it_is():
    layer = replaced(nn.Linear(4, 4), [{"weight": "int8"}]).model
    x = torch.randn(2, 4)

    assert torch.equal(layer.input_quantizer(x), x)
    assert not torch.equal(layer.weight_quantizer(layer.weight), layer.weight)


def test_outputs_are_quantized_where_a_rule_says_so():
    layer = nn.Linear(4, 4)
    x = torch.randn(3, 4)
    expected = layer(x)

    layer = replaced(layer, [{"output": "int8"}]).model
    step = expected.abs().max() / 127
    torch.testing.assert_close(layer(x), (expected / step).round() * step)


def test_input_only_modules_are_quantized_where_a_rule_names_them():
    model = nn.Sequential(nn.AvgPool1d(2), nn.MaxPool1d(2))

    assert replaced(model).replaced == ()
    rules = [{"type": "AvgPool1d", "preset": "int8"}]
    assert replaced(model, rules).replaced == ("0",)


def test_torchs_encoder_quantizes_in_inference_as_in_training():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model, x = nn.TransformerEncoder(layer, 2).eval(), torch.randn(2, 3, 8)
    padded = torch.tensor([[False, False, True], [False, False, False]])
    expected = model(x, src_key_padding_mask=padded)

    replaced(model, "int4_weight_only")
    followed = model(x, src_key_padding_mask=padded)
    with torch.no_grad():
        assert torch.equal(model(x, src_key_padding_mask=padded), followed)
    assert not torch.allclose(followed[~padded], expected[~padded], atol=1e-3)


def test_quantized_modules_stay_as_they_are():
    model = nn.Sequential(QuantLinear(2, 2))

    assert replaced(model).replaced == ()


def test_mode_dtype_and_gradients_are_kept():
    layer = nn.Linear(2, 2, dtype=torch.bfloat16).eval()
    layer.bias.requires_grad_(False)

    made = replaced(layer).model
    assert not made.training
    assert not made.input_quantizer.training
    assert made.weight.dtype == torch.bfloat16
    assert not made.bias.requires_grad


def test_a_choice_that_fails_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Linear(2, 2), nn.Conv1d(2, 2, 1))
    blocks = {"*input_quantizer": {"block_sizes": {-1: None, "type": "dynamic"}}}

    with pytest.raises(ValueError, match=r"'1\.input_quantizer'.*block_sizes"):
        replaced(model, {"quant_cfg": blocks})
    assert type(model[0]) is nn.Linear
