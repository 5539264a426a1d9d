import subprocess
import sys

import pytest
import torch
from torch import nn

from qcore.adapters.torch import nn as quant_nn
from qcore.adapters.torch import quant_modules
from qcore.adapters.torch.nn.modules.registry import quantized_class, quantized_classes

REPLACED = [
    *(f"{kind}{n}d" for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)),
    *(f"{kind}{n}d" for kind in ("AvgPool", "AdaptiveAvgPool") for n in (1, 2, 3)),
    "Linear",
    "LSTM",
    "LSTMCell",
]
KEPT = ["MaxPool1d", "MaxPool2d", "MaxPool3d", "InstanceNorm2d", "ReLU", "Module"]
PLAIN = {name: getattr(nn, name) for name in REPLACED + KEPT}


@pytest.fixture(autouse=True)
def _restored():
    yield
    quant_modules.deactivate()
    assert {name: getattr(nn, name) for name in PLAIN} == PLAIN


def now(*names):
    return [getattr(nn, name) for name in names]


@pytest.mark.parametrize("name", REPLACED)
def test_s3_8_a_name_in_torch_means_the_quantized_class(name):
    quant_modules.initialize()
    assert getattr(nn, name) is getattr(quant_nn, f"Quant{name}")


@pytest.mark.parametrize("name", KEPT)
def test_s3_8_pools_of_maxima_and_others_stay(name):
    quant_modules.initialize()
    assert getattr(nn, name) is PLAIN[name]


def test_s3_8_nothing_else_is_replaced():
    before = vars(nn).copy()
    quant_modules.initialize()
    changed = {name for name, value in vars(nn).items() if value is not before[name]}
    assert changed == set(REPLACED)


def test_s3_8_model_code_builds_quantized_layers_that_work():
    quant_modules.initialize()
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2)
    )
    assert model(torch.ones(1, 3, 8, 8)).shape == (1, 2)
    assert isinstance(model[0].input_quantizer, quant_nn.TensorQuantizer)


def test_s3_8_deactivate_restores():
    quant_modules.initialize()
    quant_modules.deactivate()
    assert now(*PLAIN) == list(PLAIN.values())


def test_deactivate_alone_does_nothing():
    quant_modules.deactivate()
    assert now(*PLAIN) == list(PLAIN.values())


def test_s3_8_names_in_the_list_stay_float():
    quant_modules.initialize(float_module_list=["Linear", "Conv1d"])
    assert now("Linear", "Conv1d") == [PLAIN["Linear"], PLAIN["Conv1d"]]
    assert nn.Conv2d is quant_nn.QuantConv2d


def test_a_name_that_is_never_replaced_may_be_in_the_list():
    quant_modules.initialize(["MaxPool2d", "Linear"])
    assert nn.Linear is PLAIN["Linear"]


def test_a_name_that_torch_lacks_is_refused_and_nothing_replaced():
    with pytest.raises(ValueError, match=r"must be of names in torch\.nn; got linear"):
        quant_modules.initialize(["linear", "Conv2d"])
    assert nn.Conv2d is PLAIN["Conv2d"]


def test_one_string_is_no_list():
    with pytest.raises(TypeError, match="must be a list of names; got 'Linear'"):
        quant_modules.initialize("Linear")


class Home:
    """Stands for a module of somebody's model."""

    Layer = nn.ReLU


class Other(quant_nn.QuantLinear):
    pass


def test_s3_8_custom_modules_are_replaced_and_restored():
    quant_modules.initialize(custom_quant_modules=[(Home, "Layer", Other)])
    assert (Home.Layer, nn.Conv2d) == (Other, quant_nn.QuantConv2d)
    quant_modules.deactivate()
    assert (Home.Layer, nn.Conv2d) == (nn.ReLU, PLAIN["Conv2d"])


@pytest.mark.parametrize("floats", [None, ["Linear"]])
def test_s3_8_custom_modules_win_over_the_defaults(floats):
    quant_modules.initialize(floats, [(nn, "Linear", Other)])
    assert nn.Linear is Other


def test_a_custom_name_that_does_not_exist_is_refused_and_nothing_replaced():
    with pytest.raises(AttributeError, match="Missing"):
        quant_modules.initialize(None, [(Home, "Missing", Other)])
    assert nn.Conv2d is PLAIN["Conv2d"]


def test_names_are_restored_after_the_block():
    with quant_modules.initialize():
        assert nn.Linear is quant_nn.QuantLinear
    assert now(*PLAIN) == list(PLAIN.values())


def test_names_are_restored_after_an_exception():
    with pytest.raises(RuntimeError, match="of the block"), quant_modules.initialize():
        raise RuntimeError("of the block")
    assert now(*PLAIN) == list(PLAIN.values())


def test_a_second_call_replaces_the_first_and_forgets_no_original():
    quant_modules.initialize()
    quant_modules.initialize(["Linear"], [(Home, "Layer", Other)])
    assert now("Linear", "Conv2d") == [PLAIN["Linear"], quant_nn.QuantConv2d]
    quant_modules.deactivate()
    assert now(*PLAIN) == list(PLAIN.values())
    assert Home.Layer is nn.ReLU


def test_an_inner_block_ends_with_what_the_outer_one_replaced():
    with quant_modules.initialize(["Conv2d"]):
        with quant_modules.initialize(["Linear"], [(Home, "Layer", Other)]):
            assert now("Linear", "Conv2d") == [PLAIN["Linear"], quant_nn.QuantConv2d]
        assert now("Linear", "Conv2d") == [quant_nn.QuantLinear, PLAIN["Conv2d"]]
        assert Home.Layer is nn.ReLU
    assert now(*PLAIN) == list(PLAIN.values())


def test_deactivate_inside_a_block_is_no_trouble():
    with quant_modules.initialize():
        quant_modules.deactivate()
        assert nn.Linear is PLAIN["Linear"]
    assert now(*PLAIN) == list(PLAIN.values())


def test_the_registry_keeps_to_torchs_own_classes_meanwhile():
    with quant_modules.initialize():
        assert quantized_class(PLAIN["Linear"]) is quant_nn.QuantLinear
        assert quantized_class(quant_nn.QuantLinear) is None
        assert set(quantized_classes()) >= {PLAIN[name] for name in REPLACED}


def test_s3_92_a_state_dict_of_the_float_model_loads():
    def build():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2))

    plain = build()
    with quant_modules.initialize():
        quantized = build()
    keys = quantized.load_state_dict(plain.state_dict())
    assert not keys.missing_keys
    assert torch.equal(quantized[2].weight, plain[2].weight)


def test_s3_18_the_switch_of_the_export_is_here_too():
    with quant_modules.enable_onnx_export():
        assert quant_nn.TensorQuantizer._enable_onnx_export
    assert not quant_nn.TensorQuantizer._enable_onnx_export


def test_the_map_of_modules_can_be_gone_through() -> None:
    for entry in quant_modules._DEFAULT_QUANT_MAP:
        assert issubclass(entry.replace_mod, getattr(entry.orig_mod, entry.mod_name))


def test_the_package_brings_its_modules_as_attributes() -> None:
    code = "import qcore.adapters.torch as pq; pq.calib, pq.nn, pq.quant_modules; "
    code += "pq.tensor_quant, pq.utils.reduce_amax, pq.optim.helper"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
