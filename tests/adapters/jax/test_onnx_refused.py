"""What cannot be exported is said in one sentence, before anything is written."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qcore.adapters import packages
from qcore.adapters.jax import Config, export_onnx
from qcore.adapters.jax.onnx.model import onnx_model
from qcore.errors import QuantError

W = jnp.eye(4)
X = jnp.ones((2, 4))
DYNAMIC = {"weight": {}, "activation": {"dynamic": True}}


def odd(weight, x):
    with jax.named_scope("odd"):
        y = jnp.fft.fft(x @ weight).real
    return y + jax.scipy.special.gammaln(x)


def refused(f, *args, config=DYNAMIC, **options):
    with pytest.raises(QuantError) as caught:
        onnx_model(f, {}, args, config, **options)
    return str(caught.value)


def test_every_primitive_without_an_operator_is_named_with_its_place(tmp_path):
    path = tmp_path / "model.onnx"
    with pytest.raises(QuantError) as caught:
        export_onnx(odd, {}, (W, X), path, DYNAMIC)
    message = str(caught.value)
    assert "fft in scope 'odd' after site 'odd/dot_general:0.rhs'" in message
    assert "lgamma" in message
    assert list(tmp_path.iterdir()) == []


def test_sites_without_qparams_are_named():
    static = {"weight": {}, "activation": {}}
    message = refused(lambda w, x: x @ w, W, X, config=static)
    assert "no qparams of dot_general:0.lhs" in message


@pytest.mark.parametrize(
    ("activation", "said"),
    [
        ({"format": "float6_e2m3fn"}, "float6_e2m3fn, which ONNX lacks"),
        ({"rounding": "half_away"}, "'half_even'"),
        ({"axis": (0, 1)}, "along one axis"),
    ],
)
def test_what_onnx_cannot_say_of_a_site_is_named(activation, said):
    rules = {"weight": {}, "activation": {"dynamic": True, **activation}}
    message = refused(lambda w, x: x @ w, W, X, config=rules)
    assert message.startswith("dot_general:0.lhs cannot be exported: ")
    assert said in message


def test_operands_of_64_bits_are_refused():
    with jax.enable_x64(True):
        message = refused(lambda w, x: x @ w, np.eye(4), np.ones((2, 4)))
    assert "at most 32 bits" in message
    assert "float64" in message


def test_weights_must_be_arrays():
    shape = jax.ShapeDtypeStruct(W.shape, W.dtype)
    message = refused(lambda w, x: x @ w, shape, X)
    assert message.startswith("weights must be arrays")


def test_a_random_key_is_no_input():
    f = lambda w, x, key: x @ w + jax.random.normal(key, (4,))  # noqa: E731
    assert "key is a random key" in refused(f, W, X, jax.random.key(0))


def test_early_opsets_are_refused():
    message = refused(lambda w, x: x @ w, W, X, opset=13)
    assert message == "`opset` must be at least 18; got 13."


def test_a_later_opset_can_be_asked_for():
    model = onnx_model(lambda w, x: x @ w, {}, (W, X), DYNAMIC, opset=22)
    assert model.opset_import[0].version == 22


def test_a_folder_must_exist(tmp_path):
    with pytest.raises(QuantError, match="existing folder"):
        export_onnx(odd, {}, (W, X), tmp_path / "no" / "model.onnx", Config(DYNAMIC))


def test_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "find_spec", lambda name: name != "onnx_ir" or None)
    with pytest.raises(ModuleNotFoundError, match=r"needs onnx_ir: pip install .*jax"):
        export_onnx(odd, {}, (W, X), tmp_path / "model.onnx", DYNAMIC)


def test_the_adapter_is_imported_without_onnx():
    code = "import sys, qcore.adapters.jax; print(*sys.modules)"
    run = [sys.executable, "-P", "-c", code]
    loaded = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    assert {"onnx", "onnx_ir", "onnxruntime"}.isdisjoint(loaded.split())
