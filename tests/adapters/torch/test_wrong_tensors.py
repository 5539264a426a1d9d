"""Tensors that cannot be quantized: sparse, quantized already, without values."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from qcore.adapters.torch.calib import HistogramCalibrator, MaxCalibrator
from qcore.adapters.torch.nn import Clip, QuantLinear, TensorQuantizer
from qcore.adapters.torch.nn.functional import clip
from qcore.adapters.torch.observers import MinMaxObserver, MSEObserver
from qcore.adapters.torch.tensor_quant import (
    QuantDescriptor,
    fake_affine_tensor_quant,
    fake_tensor_quant,
    scaled_e4m3,
    tensor_quant,
)
from qcore.adapters.torch.utils.reduce_amax import reduce_amax

Call = Callable[[Any], Any]

COUNTING: dict[str, Call] = {
    "max": lambda x: MaxCalibrator().collect(x),
    "histogram": lambda x: HistogramCalibrator().collect(x),
    "min max": MinMaxObserver(),
    "mse": MSEObserver(),
}
QUANTIZING: dict[str, Call] = {
    "quantizer": TensorQuantizer(),
    "fixed": TensorQuantizer(QuantDescriptor(amax=1.0)),
    "codes": TensorQuantizer(QuantDescriptor(amax=1.0, fake_quant=False)),
    "layer": QuantLinear(4, 2),
    "tensor_quant": lambda x: tensor_quant(x, 1.0),
    "fake_tensor_quant": lambda x: fake_tensor_quant(x, 1.0),
    "affine": lambda x: fake_affine_tensor_quant(x, -1.0, 1.0),
    "e4m3": lambda x: scaled_e4m3(x, 1.0),
    "clip": lambda x: clip(x, -1.0, 1.0),
    "Clip": Clip(-1.0, 1.0),
}
CALLS = {**COUNTING, **QUANTIZING, "reduce_amax": reduce_amax}
EYE = torch.eye(4)
NOT_DENSE: dict[str, Callable[[], torch.Tensor]] = {
    "a dense tensor; got one of torch.sparse_coo": EYE.to_sparse,
    "a dense tensor; got one of torch.sparse_csr": EYE.to_sparse_csr,
    "quantized already; got torch.qint8": partial(
        torch.quantize_per_tensor, EYE, 0.1, 0, torch.qint8
    ),
}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor", "ignore:Sparse CSR")
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("words", NOT_DENSE)
def test_what_is_not_dense_is_refused(call: Call, words: str) -> None:
    x = NOT_DENSE[words]()
    with pytest.raises(TypeError, match=words):
        call(x)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_list_is_no_tensor(call: Call) -> None:
    with pytest.raises(TypeError, match="must be a tensor; got list"):
        call([1.0])


@pytest.mark.parametrize("call", QUANTIZING.values(), ids=QUANTIZING)
def test_float8_is_no_data(call: Call) -> None:
    with pytest.raises(TypeError, match=r"must be floating-point .*float8_e4m3fn"):
        call(EYE.to(torch.float8_e4m3fn))


@pytest.mark.parametrize("call", COUNTING.values(), ids=COUNTING)
def test_what_has_no_values_is_not_counted(call: Call) -> None:
    with pytest.raises(ValueError, match="must have values; it is on the meta device"):
        call(EYE.to("meta"))


@pytest.mark.parametrize("call", COUNTING.values(), ids=COUNTING)
def test_complex_numbers_are_not_counted(call: Call) -> None:
    with pytest.raises(TypeError, match="complex64"):
        call(EYE.to(torch.complex64))


@pytest.mark.parametrize("name", [name for name in QUANTIZING if name != "layer"])
def test_shapes_are_known_on_the_meta_device(name: str) -> None:
    found = QUANTIZING[name](EYE.to("meta"))
    outputs = found[0] if isinstance(found, tuple) else found
    assert outputs.is_meta
    assert outputs.shape == EYE.shape


@pytest.mark.parametrize("kind", ["meta", "sparse"])
def test_bounds_must_be_dense_and_have_values(kind: str) -> None:
    bound = torch.ones(4, device="meta") if kind == "meta" else EYE.to_sparse()
    for call in (fake_tensor_quant, scaled_e4m3):
        with pytest.raises((TypeError, ValueError), match="`bound` must"):
            call(EYE, bound)


def test_a_disabled_quantizer_lets_sparse_tensors_pass() -> None:
    given = EYE.to_sparse()
    assert TensorQuantizer(disabled=True)(given) is given
