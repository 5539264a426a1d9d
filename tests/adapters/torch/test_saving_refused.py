"""Files and models that do not fit together."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import qcore
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.quantize import quantize
from qcore.adapters.torch.saving.files import restore, save
from tests.adapters.torch.saved_nets import Net, X, assert_same, float_net


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def other(change: Callable[[Net], Any]) -> Callable[[], Net]:
    def make() -> Net:
        net = float_net()
        change(net)
        return net

    return make


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Net(7), r"weight of 'head' was of shape \(5, 108\), and is of shape"),
        (
            lambda: Net(head=nn.Bilinear.__class__ and Odd),
            "'head' was a Linear, and is",
        ),
        (other(lambda n: delattr(n, "norm")), "'norm' was a BatchNorm2d, and is miss"),
        (other(lambda n: n.add_module("more", nn.ReLU())), "'more', a ReLU, was not"),
        (other(lambda n: n.head.register_parameter("bias", None)), "is missing here"),
        (nn.Sequential, "the model was a Net, and is a Sequential here"),
        (
            other(lambda n: n.add_module("own", TensorQuantizer())),
            "must have no quantizer 'own'",
        ),
    ],
)
def test_another_architecture_is_refused(
    path: Path, make: Callable[[], nn.Module], words: str
) -> None:
    save(quantize(float_net(), "int8", [X]), path)
    model = make()
    before = str(model)
    with pytest.raises(ValueError, match=words) as caught:
        restore(model, path)
    assert str(caught.value).startswith("`float_model` must ")
    assert str(model) == before


class Odd(nn.Linear):
    """A linear layer of another name."""


def test_a_quantizer_of_the_saved_model_s_own_must_be_there(path: Path) -> None:
    save(nn.Sequential(nn.ReLU(), nn.Sequential(TensorQuantizer())), path)
    with pytest.raises(ValueError, match=r"must have the quantizer '1.0'"):
        restore(nn.Sequential(nn.ReLU(), nn.Sequential()), path)


def test_a_model_without_weights_is_refused(path: Path) -> None:
    save(quantize(float_net(), "int8", [X]), path)
    with pytest.raises(ValueError, match="it is on the meta device"):
        restore(Net().to("meta"), path)


def test_a_missing_file_is_not_found(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        restore(float_net(), path)


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_a_truncated_file_is_refused(path: Path, keep: int) -> None:
    save(quantize(float_net(), "int8", [X]), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(qcore.FileFormatError, match="is no safetensors file"):
        restore(float_net(), path)


def test_files_of_something_else_are_refused(path: Path) -> None:
    save_file({"weight": X}, path)
    with pytest.raises(qcore.FileFormatError, match="it holds other tensors"):
        restore(float_net(), path)
    qcore.save(path, {"x": qcore.Range.of(X)})
    with pytest.raises(qcore.FileFormatError, match="it holds something else"):
        restore(float_net(), path)


def damage(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> None:
    """Rewrite a file after a change of its header and tensors."""
    tensors, whole = load_file(path), path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(json.loads(whole[8 : 8 + length])["__metadata__"]["qcore"])
    change(header, tensors)
    save_file(tensors, path, metadata={"qcore": json.dumps(header)})


def test_a_file_of_a_later_version_is_refused(path: Path) -> None:
    save(float_net(), path)
    damage(path, lambda header, _: header.update(version=2))
    with pytest.raises(qcore.FileFormatError, match="version 1 at most; got 2"):
        restore(float_net(), path)


DAMAGES: dict[str, Callable[[dict[str, Any], dict[str, Any]], Any]] = {
    "no architecture": lambda header, _: header.pop("architecture"),
    "no states": lambda header, _: header.pop("states"),
    "descriptor": lambda h, _: first(h).update(descriptor="num_bits: much"),
    "no descriptor": lambda header, _: first(header).pop("descriptor"),
    "no stage": lambda header, _: first(header).pop("stages"),
    "no range": lambda _, tensors: tensors.pop("head._input_quantizer._range"),
    "alias": lambda header, _: header.update(aliases={"a": "b"}),
    "no weight": lambda _, tensors: tensors.pop("norm.bias"),
    "weight": lambda _, tensors: tensors.update({"norm.bias": torch.zeros(9)}),
    "counts": lambda _, tensors: tensors.pop("statistics/0.nans"),
}


def first(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(header["quantizers"].values()))
    return found


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES)
def test_contents_that_do_not_fit_together_are_refused(
    path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]
) -> None:
    model = quantize(float_net(), "int8", [X])
    save(model, path, statistics=True, weights=True)
    damage(path, change)
    model = float_net()
    with pytest.raises(qcore.FileFormatError, match="do not fit together"):
        restore(model, path)
    assert str(model) == str(float_net())


def test_writing_is_atomic(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = quantize(float_net(), "int8", [X])
    save(model, path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(model, path, weights=True)
    monkeypatch.undo()
    assert_same(restore(float_net(), path), model)
    assert list(path.parent.iterdir()) == [path]
