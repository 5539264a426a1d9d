"""What QuantCalibrationOp is told, by S5.5 to S5.14 and S5.17."""

from pathlib import Path

import pytest

from qcore import QuantError
from qcore.adapters.torch.amct.quant_calibration_config import QuantCalibrationConfig
from qcore.adapters.torch.amct.quant_calibration_op import QuantCalibrationOp

parse = QuantCalibrationConfig.parse


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kv_cache.txt"


def test_s5_5_defaults_are_those_documented():
    assert parse(None) == parse({}) == QuantCalibrationConfig()
    explicit = {
        "act_algo": "ifmr",
        "num_bits": 8,
        "with_offset": True,
        "asymmetric": True,
        "batch_num": 1,
        "quant_granularity": 0,
    }
    assert parse(explicit) == parse(None)
    assert parse({"act_algo": "hfmg"}).bins == 4096


def test_s5_5_s5_17_the_documented_example_is_taken():
    config = parse(
        {
            "act_algo": "hfmg",
            "num_bits": 8,
            "quant_granularity": "1",
            "with_offset": True,
            "batch_num": 1,
        }
    )
    assert (config.method, config.spec.granularity.axis) == ("hfmg", -1)


@pytest.mark.parametrize(
    ("params", "symmetric"),
    [
        ({}, False),
        ({"with_offset": False}, True),
        ({"asymmetric": False}, True),
        ({"with_offset": False, "asymmetric": True}, False),
        ({"with_offset": True, "asymmetric": False}, True),
    ],
)
def test_s5_8_s5_9_asymmetric_wins_over_with_offset(params, symmetric: bool):
    assert parse(params).spec.symmetric == symmetric


@pytest.mark.parametrize("granularity", [0, "0", "per_tensor"])
def test_s5_11_s5_17_a_tensor_has_one_scale_by_default(granularity):
    assert parse({"quant_granularity": granularity}) == parse(None)


WRONG_VALUES = [
    {"act_algo": "kl"},
    {"num_bits": 7},
    {"num_bits": 17},
    {"batch_num": 0},
    {"batch_num": -1},
    {"quant_granularity": 2},
    {"quant_granularity": "abc"},
    {"max_percentile": 0.5},
    {"max_percentile": 1.2},
    {"min_percentile": 0.5},
    {"min_percentile": float("nan")},
    {"search_range": [1.2, 0.8]},
    {"search_range": [0.0, 0.8]},
    {"search_range": [0.7, 1.0, 1.3]},
    {"search_range": [0.7, float("inf")]},
    {"search_step": 0.0},
    {"search_step": 0.7},
    {"search_step": 1e-6},
    {"search_step": float("nan")},
    {"act_algo": "hfmg", "num_of_bins": 1023},
]


OF_THE_OTHER = [
    {"num_of_bins": 1024},
    {"act_algo": "hfmg", "search_step": 0.01},
    {"act_algo": "hfmg", "search_range": [0.7, 1.3]},
    {"act_algo": "hfmg", "max_percentile": 0.9},
    {"act_algo": "hfmg", "min_percentile": 0.9},
]


WRONG_TYPES = [
    {"act_algo": 1},
    {"num_bits": 8.0},
    {"batch_num": 2.2},
    {"batch_num": True},
    {"with_offset": 1},
    {"asymmetric": "a"},
    {"quant_granularity": 1.0},
    {"quant_granularity": True},
    {"quant_granularity": None},
    {"max_percentile": "a"},
    {"min_percentile": "a"},
    {"search_range": 2},
    {"search_range": ["a", 1]},
    {"search_step": "a"},
    {"act_algo": "hfmg", "num_of_bins": "a"},
]


@pytest.mark.parametrize("params", WRONG_VALUES)
def test_s5_12_s5_13_s5_14_a_value_out_of_range_is_named(path: Path, params):
    name = list(params)[-1]
    with pytest.raises(RuntimeError, match=f"^`{name}` must ") as caught:
        QuantCalibrationOp(path, params)
    assert isinstance(caught.value, QuantError)
    assert not isinstance(caught.value, TypeError)


@pytest.mark.parametrize("params", OF_THE_OTHER)
def test_s5_14_a_field_of_the_other_algorithm_is_an_error(path: Path, params):
    message = f"`{list(params)[-1]}` must not be given when `act_algo` is '"
    with pytest.raises(RuntimeError, match=message):
        QuantCalibrationOp(path, params)


@pytest.mark.parametrize("params", WRONG_TYPES)
def test_s5_14_a_wrong_type_is_a_type_error(path: Path, params):
    with pytest.raises(TypeError, match=f"^`{list(params)[-1]}` must ") as caught:
        QuantCalibrationOp(path, params)
    assert isinstance(caught.value, RuntimeError)  # what AMCT raises for some of them


def test_s5_14_an_unknown_field_is_an_error_that_names_the_nearest(path: Path):
    with pytest.raises(
        RuntimeError, match=r"'batch_nun' is no .*did you mean 'batch_n"
    ):
        QuantCalibrationOp(path, {"batch_nun": 1})
    with pytest.raises(RuntimeError, match="3 is no parameter of 'ifmr'"):
        QuantCalibrationOp(path, {3: 1})


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ((1,), TypeError, "record_file"),
        (("a.txt", 1), TypeError, "quant_algo_params"),
        (("a.txt", None, 1), TypeError, "quant_method"),
        (("a.txt", None, "weights"), RuntimeError, "quant_method"),
    ],
)
def test_s5_5_wrong_arguments_are_refused(
    arguments, error, name, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=f"^`{name}` must "):
        QuantCalibrationOp(*arguments)
    assert list(tmp_path.iterdir()) == []
