import pytest
import torch
from torch import nn

from qcore.adapters.torch.configuration.reading import read_config

INT8 = {
    "quant_cfg": {
        "*weight_quantizer": {"num_bits": 8, "axis": 0},
        "*input_quantizer": {"num_bits": 8, "axis": None},
        "*lm_head*": {"enable": False},
        "nn.BatchNorm2d": {"*": {"enable": False}},
        "default": {"enable": False},
    },
    "algorithm": "max",
}
"""INT8_DEFAULT_CFG, as that toolkit's documentation gives it."""


class Attributes:
    """What QuantizerAttributeConfig, of pydantic, answers."""

    def __init__(self, **given):
        self.given = given

    def model_dump(self, exclude_unset):
        assert exclude_unset
        return self.given


def chosen(quant_cfg, module=None, name="fc", algorithm="max"):
    config = read_config({"quant_cfg": quant_cfg, "algorithm": algorithm})
    return config.choose(name, module or nn.Linear(32, 32))[0]


def test_the_default_configuration_is_per_channel_weights():
    choice = read_config(INT8).choose("body.fc", nn.Linear(2, 2))[0]

    assert choice.weight.descriptor.axis == 0
    assert choice.input.descriptor.axis is None
    assert read_config(INT8).choose("lm_head", nn.Linear(2, 2))[0] is None


def test_entries_of_a_list_override_earlier_ones():
    choice = chosen(
        [
            {"quantizer_name": "*", "enable": False},
            {"quantizer_name": "*weight_quantizer", "cfg": {"num_bits": 4}},
            {"quantizer_name": "fc.*", "cfg": [{"num_bits": 6}]},
            {"quantizer_name": "fc.output_quantizer", "enable": False},
        ]
    )

    assert choice.weight.descriptor.num_bits == choice.input.descriptor.num_bits == 6
    assert choice.output is None


def test_a_class_restricts_its_patterns():
    quant_cfg = {"nn.Conv2d": {"*": {"enable": False}}}

    assert chosen(quant_cfg, nn.Conv2d(1, 1, 1)) is None
    assert chosen(quant_cfg, nn.Linear(1, 1)) is not None


def test_attributes_may_be_an_object():
    choice = chosen({"*": Attributes(num_bits=(4, 3), axis=None)})

    assert choice.weight.descriptor.format == "float8_e4m3fn"


def test_a_configuration_may_be_an_object():
    config = Attributes(quant_cfg={"*": {"num_bits": 4}}, algorithm="max")

    choice = read_config(config).choose("fc", nn.Linear(2, 2))[0]
    assert choice.weight.descriptor.num_bits == 4


@pytest.mark.parametrize(
    ("num_bits", "name"),
    [
        ((5, 2), "float8_e5m2"),
        ((2, 1), "float4_e2m1fn"),
        ((3, 2), "float6_e3m2fn"),
        ((2, 3), "float6_e2m3fn"),
    ],
)
def test_pairs_of_bits_are_float_formats(num_bits, name):
    assert chosen({"*": {"num_bits": num_bits}}).input.descriptor.format == name


def test_blocks_keep_the_format_of_their_scales():
    blocks = {-1: 16, "type": "dynamic", "scale_bits": (4, 3)}

    choice = chosen({"*": {"num_bits": (2, 1), "block_sizes": blocks}}).input
    assert choice.is_dynamic
    assert choice.descriptor.block_sizes == {-1: 16}
    assert choice.descriptor.scale_format == "float8_e4m3fn"


def test_a_block_without_length_is_a_scale_for_each_token():
    quant_cfg = {"*": {"block_sizes": {-1: None, "type": "dynamic"}}}
    x = torch.randn(3, 32)

    found = chosen(quant_cfg).input.make()(x)
    step = x.abs().amax(1, keepdim=True) / 127
    torch.testing.assert_close(found, (x / step).round() * step)


def test_the_algorithm_names_the_method():
    mse = chosen({"*": {"num_bits": 8}}, algorithm={"method": "mse"})
    histogram = chosen({"*": {"calibrator": "histogram"}})

    assert mse.input.descriptor.calib_method == "mse"
    assert histogram.input.descriptor.calib_method == "mse"
    assert not read_config({"quant_cfg": {}, "algorithm": None}).calibrates


def test_a_constant_amax_is_fixed():
    assert chosen({"*": {"constant_amax": 3.0}}).input.descriptor.amax == 3
    assert chosen({"*": {"use_constant_amax": True}}).input.descriptor.amax == 448


def test_key_and_value_caches_are_functions_of_attention():
    class SelfAttention(nn.Module):
        pass

    choice = chosen({"*[kv]_bmm_quantizer": {"num_bits": (4, 3)}}, SelfAttention())

    assert set(choice.functions["scaled_dot_product_attention"]) == {"key", "value"}


def test_entries_that_only_disable_need_not_match():
    config = read_config(INT8)

    _, used = config.choose("fc", nn.Linear(2, 2))
    assert used == set(range(len(config.labels)))


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"rotate": True}, "rotate"),
        ({"bias": {"enable": True}}, "bias"),
        ({"backend": "mine"}, "backend"),
        ({"fake_quant": False}, "fake_quant"),
        ({"num_bits": (1, 2)}, "num_bits"),
        ({"num_bitz": 8}, "num_bits"),
        ({"calibrator": "mine"}, "calibrator"),
        ({"type": "fluid"}, "type"),
        ({"block_sizes": {-1: 16, -2: 16}}, "block_sizes"),
        ({"block_sizes": {-1: 16, "scale_bits": (5, 2)}}, "scale_bits"),
        ({"block_sizes": {-1: 16, "four_over_six": True}}, "four_over_six"),
        ({"num_bits": "mine"}, "num_bits"),
    ],
)
def test_an_attribute_we_lack_is_named(attributes, named):
    with pytest.raises((ValueError, TypeError), match=rf"(?s)fc\*.*{named}"):
        read_config({"quant_cfg": {"fc*": attributes}})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"quant_cfg": {}, "algorithm": "awq_lite"}, "awq_lite"),
        ({"quant_cfg": {}, "algorithm": {"method": "mse", "alpha": 1}}, "alpha"),
        ({"quant_cfg": {}, "algorithms": "max"}, "algorithms"),
        ({"quant_cfg": "*"}, "quant_cfg"),
        ({"quant_cfg": ["*"]}, "entry"),
        ({"quant_cfg": [{"quantizer_name": "*"}]}, "enable"),
        ({"quant_cfg": [{"quantizer_name": "*", "cgf": {}}]}, "'cfg'"),
        ({"quant_cfg": {"*": [{"num_bits": 4}, {"num_bits": 8}]}}, "twice"),
        ({"quant_cfg": {"*": 8}}, "mapping"),
    ],
)
def test_what_is_not_valid_is_named(config, message):
    with pytest.raises((ValueError, TypeError), match=message):
        read_config(config)
