"""What observers keep: buffers, state dicts, copies."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

from qcore.adapters.horizon import quantization
from qcore.adapters.horizon.quantization import observer as old
from qcore.adapters.horizon.quantization import observer_v2
from qcore.adapters.torch.observers import (
    ClipObserver,
    FixedScaleObserver,
    KLObserver,
    MinMaxObserver,
    MSEObserver,
    load_observer_params,
)

CHANNELS = {"qscheme": torch.per_channel_symmetric, "ch_axis": 0}


def data(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(2))


def calibrated(cls: type = MSEObserver, **arguments: object) -> nn.Module:
    observer = cls(**arguments)
    observer(data(3, 40))
    return observer


def test_the_state_dict_is_min_val_and_max_val() -> None:
    state = calibrated().state_dict()
    assert {name: tuple(x.shape) for name, x in state.items()} == {
        "min_val": (1,),
        "max_val": (1,),
    }


def test_loading_resizes_to_the_channels() -> None:
    observer, restored = calibrated(**CHANNELS), MSEObserver(**CHANNELS)
    restored.load_state_dict(observer.state_dict())
    scale, _ = restored.calculate_qparams()
    assert torch.equal(scale, observer.calculate_qparams()[0])
    assert scale.shape == (3,)


def test_loading_forgets_what_was_collected() -> None:
    observer, other = calibrated(), KLObserver(update_interval=2)
    other(100 * data(10))
    other.load_state_dict(observer.state_dict())
    other(data(3, 40))
    assert torch.equal(other.max_val, observer.max_val)


def test_a_loaded_average_goes_on() -> None:
    observer = MinMaxObserver(averaging_constant=0.5)
    state = {"min_val": torch.tensor([-4.0]), "max_val": torch.tensor([4.0])}
    observer.load_state_dict(state)
    observer(torch.tensor([-2.0, 8.0]))
    assert (observer.min_val, observer.max_val) == (-3, 6)


@pytest.mark.parametrize("names", [("min_val", "max_val"), ("min_vals", "max_vals")])
def test_a_state_dict_of_the_plugin_loads(names: tuple[str, str]) -> None:
    low, high = names
    state = {
        low: torch.tensor(-4.0),
        high: torch.tensor(12.7),
        "eps": torch.tensor([1e-7]),
    }
    observer = MinMaxObserver()
    observer.load_state_dict(state)
    assert observer.calculate_qparams()[0].item() == pytest.approx(0.1)


def test_nan_is_remembered_by_the_state_dict() -> None:
    observer, restored = MinMaxObserver(), MinMaxObserver()
    observer(torch.tensor([float("nan"), 1.0]))
    restored.load_state_dict(observer.state_dict())
    with pytest.raises(RuntimeError, match="MinMaxObserver must observe finite"):
        restored.calculate_qparams()


@pytest.mark.parametrize("interval", [1, 5])
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_goes_on_like_the_original(copied: object, interval: int) -> None:
    observer = calibrated(KLObserver, update_interval=interval)
    twin = copied(observer)
    for one in (observer, twin):
        one(5 * data(3, 40))
    assert torch.equal(twin.calculate_qparams()[0], observer.calculate_qparams()[0])


def test_torch_save_restores_weights_only() -> None:
    file = io.BytesIO()
    torch.save(calibrated().state_dict(), file)
    file.seek(0)
    restored = MSEObserver()
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(restored.max_val, calibrated().max_val)


def test_factory_kwargs_are_of_the_buffers() -> None:
    observer = MinMaxObserver(factory_kwargs={"dtype": torch.float64})
    assert observer.min_val.dtype == torch.float64
    observer(torch.tensor([0.1]))
    assert observer.max_val.dtype == torch.float64
    assert observer.max_val.item() == torch.tensor(0.1).item()
    assert observer.calculate_qparams()[0].dtype == torch.float32


def test_a_half_precision_buffer_rounds_the_range() -> None:
    observer = MinMaxObserver(factory_kwargs={"dtype": torch.bfloat16})
    observer(torch.tensor([1 + 2**-12]))
    assert observer.max_val.item() == 1.0


def test_s4_11_reset_dtype_takes_the_codes_of_another() -> None:
    observer = MinMaxObserver(quant_min=-100)
    observer(torch.tensor([7.0]))
    observer.reset_dtype("qint8")
    assert observer.quant_min == -100
    observer.reset_dtype("qint4")
    assert (observer.dtype, observer.quant_min, observer.quant_max) == (
        torch.qint8,
        -8,
        7,
    )
    assert observer.calculate_qparams()[0].item() == 1.0


def test_a_refused_dtype_changes_nothing() -> None:
    observer = MinMaxObserver(qscheme=torch.per_tensor_affine)
    with pytest.raises(ValueError, match="symmetric"):
        observer.reset_dtype("float8_e4m3fn")
    assert (observer.dtype, observer.quant_max) == (torch.qint8, 127)


def test_reset_min_max_vals_forgets_everything() -> None:
    observer = KLObserver(update_interval=2)
    observer(data(10))
    observer.reset_min_max_vals()
    with pytest.warns(UserWarning, match="observed nothing"):
        observer.calculate_qparams()


def test_it_prints_its_range() -> None:
    observer = MinMaxObserver()
    observer(torch.tensor([-1.0, 2.0]))
    expected = "MinMaxObserver(min_val=tensor([-1.]), max_val=tensor([2.]))"
    assert repr(observer) == expected
    fixed = "scale=tensor([1.]), zero_point=tensor([0], dtype=torch.int32)"
    assert repr(FixedScaleObserver()) == f"FixedScaleObserver({fixed})"


def model(observer: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), observer)


def test_s4_11_load_observer_params_between_classes() -> None:
    source, target = (
        model(calibrated(MSEObserver, **CHANNELS)),
        model(MinMaxObserver(**CHANNELS)),
    )
    load_observer_params(source, target)
    assert torch.equal(target[1].max_val, source[1].max_val)
    assert torch.equal(target[0].weight, source[0].weight)


def test_s4_11_load_observer_params_warns_of_what_is_left_alone() -> None:
    source, target = model(FixedScaleObserver()), model(ClipObserver())
    with pytest.warns(UserWarning, match="2 keys of `to_model` are missing"):
        load_observer_params(source, target)
    with pytest.warns(UserWarning, match=r"Unexpected: \['1.scale', '1.zero_point'\]"):
        load_observer_params(source, target, verbose=True)


def test_calibration_under_inference_mode_serves_later() -> None:
    observer = MSEObserver()
    with torch.inference_mode():
        observer(data(100))
    observer(data(100))
    observer.load_state_dict(calibrated().state_dict())
    x = data(5).requires_grad_()
    scale, zero_point = observer.calculate_qparams()
    torch.fake_quantize_per_tensor_affine(
        x, scale, zero_point, -128, 127
    ).sum().backward()
    assert x.grad is not None


def test_the_original_paths_lead_to_the_same_classes() -> None:
    assert quantization.KLObserver is observer_v2.KLObserver is KLObserver
    name = "MovingAverageMinMaxObserver"
    assert getattr(quantization, name) is getattr(old, name)
