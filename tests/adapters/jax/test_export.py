"""Exported programs multiply integers and give the numbers of the function."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export

import qcore
from qcore.adapters.jax import (
    Config,
    calibrate,
    collect,
    export,
    export_onnx,
    fake_quant,
)

RULES = {
    "weight": {"axis": "output"},
    "activation": {"symmetric": False, "method": "minmax", "statistics": "range"},
}


def made(seed, *shape):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.float32)


def network(params, batch):
    with jax.named_scope("first"):
        x = jax.nn.relu(batch["x"] @ params["first"].T)
    return {"logits": x @ params["last"] + params["bias"], "seen": batch["x"].sum()}


@pytest.fixture(scope="module")
def params():
    return {"first": made(0, 16, 8), "last": made(1, 16, 4), "bias": made(2, 4)}


@pytest.fixture(scope="module")
def batch():
    return {"x": made(3, 5, 8)}


@pytest.fixture(scope="module")
def qparams(params, batch):
    _, statistics = collect(network, RULES)(None, params, batch)
    return calibrate(network, RULES, statistics)(params, batch)


@pytest.fixture(scope="module")
def exported(params, batch, qparams):
    return export(network, qparams, (params, batch), RULES)


@pytest.fixture(scope="module")
def numbers(exported, batch):
    """What the exported program gives."""
    return exported.call(batch)


def text_of(exported):
    return exported.mlir_module()


def test_products_are_of_integers(exported):
    text = text_of(exported)
    products = re.findall(r"stablehlo\.dot_general.*: \((.*), (.*)\) -> (.*)", text)
    assert len(products) == 2
    for lhs, rhs, out in products:
        assert "xi8>" in lhs
        assert "xi8>" in rhs
        assert "xi32>" in out


def test_weights_are_stored_as_integers(exported):
    text = text_of(exported)
    stored = re.findall(r"stablehlo\.constant dense.* : tensor<(\d+x\d+xi8)>", text)
    assert sorted(stored) == ["16x4xi8", "8x16xi8"]
    assert not re.search(r"stablehlo\.constant .*tensor<(8x16|16x8|16x4)xf32>", text)


def test_numbers_are_those_of_the_function_bit_for_bit(params, batch, qparams, numbers):
    rounded = jax.jit(fake_quant(network, RULES, qparams, quantized_dot="int8"))
    wanted = rounded(params, batch)
    assert jax.tree.structure(numbers) == jax.tree.structure(wanted)
    jax.tree.map(np.testing.assert_array_equal, numbers, wanted)


def test_a_file_is_a_program(tmp_path, params, batch, qparams, numbers):
    path = tmp_path / "network.stablehlo"
    export(network, qparams, (params, batch), RULES, path=path)
    read = jax_export.deserialize(bytearray(path.read_bytes()))
    jax.tree.map(np.testing.assert_array_equal, read.call(batch), numbers)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_products_of_floats_are_kept_if_asked_for(params, batch, qparams):
    exported = export(network, qparams, (params, batch), RULES, quantized_dot=False)
    assert "xi8>" not in "".join(re.findall("dot_general.*", text_of(exported)))
    wanted = jax.jit(fake_quant(network, RULES, qparams))(params, batch)
    found = exported.call(batch)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_convolutions_are_of_integers():
    def f(kernel, x):
        return jax.lax.conv(x, kernel, (1, 1), "SAME")

    args = made(0, 4, 3, 3, 3), made(1, 2, 3, 6, 6)
    rules = {"weight": {"axis": "output"}, "activation": {"dynamic": True}}
    exported = export(f, {}, args, rules)
    (operands,) = re.findall(
        r"stablehlo\.convolution.*: \((.*)\) ->", text_of(exported)
    )
    assert operands.count("xi8>") == 2
    rounded = jax.jit(fake_quant(f, rules, quantized_dot="int8"))
    np.testing.assert_array_equal(exported.call(args[1]), rounded(*args))


def test_a_loop_over_layers_is_exported():
    def f(layers, x):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, layers)[0]

    args = made(0, 3, 8, 8), made(1, 5, 8)
    rules = {"weight": {}, "activation": {"dynamic": True}}
    found = export(f, {}, args, rules).call(args[1])
    rounded = jax.jit(fake_quant(f, rules, quantized_dot="int8"))
    np.testing.assert_array_equal(found, rounded(*args))


def test_shapes_of_inputs_and_static_arguments_are_enough(params, batch, qparams):
    def f(params, batch, scale, *, negate):
        found = network(params, batch)["logits"] * scale
        return -found if negate else found

    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), batch)
    exported = export(f, qparams, (params, shapes, 2.0), RULES, kwargs={"negate": True})
    rounded = jax.jit(fake_quant(network, RULES, qparams, quantized_dot="int8"))
    wanted = -2 * rounded(params, batch)["logits"]
    np.testing.assert_array_equal(exported.call(batch), wanted)


def test_arguments_by_name_come_in_any_order(params, batch):
    def f(*, batch, extra, params):
        return network(params, batch)["logits"] + extra

    rules = {"weight": {}, "activation": {"dynamic": True}}
    config = Config(rules, weights="params")
    named = {"params": params, "extra": made(4, 4), "batch": batch}
    exported = export(f, {}, (), config, kwargs=named)
    rounded = jax.jit(fake_quant(f, config, quantized_dot="int8"))
    wanted = rounded(**named)
    found = exported.call(extra=named["extra"], batch=batch)
    np.testing.assert_array_equal(found, wanted)


def test_weights_that_are_shapes_are_refused(params, batch, qparams):
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), params)
    with pytest.raises(ValueError, match="weights must be arrays"):
        export(network, qparams, (shapes, batch), RULES)


def test_sites_without_qparams_are_named(params, batch, tmp_path):
    path = tmp_path / "network.stablehlo"
    with pytest.raises(ValueError, match=r"first/dot_general:0\.lhs"):
        export(network, {}, (params, batch), Config(RULES), path=path)
    assert not path.exists()


def test_a_folder_must_exist(params, batch, qparams, tmp_path):
    with pytest.raises(ValueError, match="existing folder"):
        export(network, qparams, (params, batch), RULES, path=tmp_path / "no" / "file")


def written(path, *given):
    return export(*given, path=path)


def written_as_onnx(path, f, qparams, args, config):
    return export_onnx(f, qparams, args, path, config)


@pytest.mark.parametrize("write", [written, written_as_onnx])
@pytest.mark.parametrize("name", ["", "folder"])
def test_a_folder_is_no_path(
    params, batch, qparams, tmp_path, monkeypatch, name, write
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(qcore.QuantError, match=f"file; '{name}' is a folder"):
        write(name, network, qparams, (params, batch), RULES)
    assert [file.name for file in tmp_path.rglob("*")] == ["folder"]


def test_a_number_is_no_path(params, batch, qparams):
    with pytest.raises(TypeError, match="`path` must be a path; got int"):
        export(network, qparams, (params, batch), RULES, path=3)


def test_no_qparams_are_none(params, batch):
    rules = {"weight": {}, "activation": {"dynamic": True}}
    found, wanted = (
        export(network, given, (params, batch), rules).call(batch)
        for given in (None, {})
    )
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_what_is_no_mapping_of_qparams_is_refused(params, batch):
    with pytest.raises(TypeError, match=r"`qparams` must be a mapping .* got int"):
        export(network, 5, (params, batch), RULES)


def test_statistics_of_any_library_may_stand_for_qparams(params, batch, numbers):
    _, statistics = collect(network, RULES)(None, params, batch)
    statistics = {name: one.to(np) for name, one in statistics.items()}
    found = export(network, statistics, (params, batch), RULES).call(batch)
    jax.tree.map(np.testing.assert_array_equal, found, numbers)


def test_a_program_of_loaded_qparams_is_the_same(
    params, batch, qparams, numbers, tmp_path
):
    path = tmp_path / "qparams.safetensors"
    qcore.save_qparams(path, qparams)
    loaded = qcore.load_qparams(path, xp=jnp)
    found = export(network, loaded, (params, batch), RULES).call(batch)
    jax.tree.map(np.testing.assert_array_equal, found, numbers)
