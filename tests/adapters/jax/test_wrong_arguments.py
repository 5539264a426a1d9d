"""What is wrong is said in one sentence: what is expected, what was given, where."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qcore
from qcore.adapters.jax import (
    Config,
    QuantizedArray,
    calibrate,
    collect,
    export,
    export_onnx,
    fake_quant,
    fake_quantize,
    nbytes,
    quantize_params,
    quantized_dots,
    sites,
    sync_statistics,
    weight_qparams,
)

W, X = jnp.ones((4, 3)), jnp.ones((2, 4))
SPEC = qcore.QuantSpec("int8")
SCALES = qcore.qparams_from_data(W, SPEC)
RULES = {"activation": {"dynamic": True}, "weight": {"method": "minmax"}}
SHAPE = jax.ShapeDtypeStruct((4, 3), jnp.float32)


def f(w, x):
    return x @ w


@pytest.mark.parametrize(
    "transform",
    [
        fake_quant,
        collect,
        lambda g: calibrate(g, None, {}),
        sites,
        quantized_dots,
        weight_qparams,
        lambda g: export(g, {}, (W, X)),
        lambda g: export_onnx(g, {}, (W, X), "never.onnx"),
    ],
)
def test_what_is_no_function_is_refused(transform):
    with pytest.raises(TypeError, match="`f` must be a function; got int"):
        transform(3)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (5, "`rules` must be a mapping or a sequence of mappings; got int"),
        ("int8", "`rules` must be .*; got str"),
        ({"site": 3}, "'site' of rule 0 must be a pattern of names; got 3"),
        ([{}, {"skip": "no"}], "'skip' of rule 1 must be true or false; got 'no'"),
        (
            {"activation": {"dynamic": 1}},
            "'dynamic' of rule 0, 'activation' must be true or false; got 1",
        ),
        ({"weight": {"options": 3}}, "'options' of rule 0, 'weight' must be a mapping"),
        ({"weight": {"options": {3: 3}}}, "names of options; got 3 as one"),
    ],
)
def test_rules_of_other_kinds_are_refused(rules, message):
    with pytest.raises(TypeError, match=message):
        fake_quant(f, rules)


@pytest.mark.parametrize(
    "rule", [{3: 3}, {"activation": {"statistics": []}}, {"weight": {"format": "x8"}}]
)
def test_values_of_rules_that_mean_nothing_are_refused(rule):
    with pytest.raises(ValueError, match=r"must be .*known"):
        fake_quant(f, rule)(W, X)


@pytest.mark.parametrize("weights", [3.5, True, [[0]], object()])
def test_weights_are_positions_or_names(weights):
    for choose in (Config, lambda weights: sites(f, weights=weights)):
        with pytest.raises(TypeError, match="`weights` must be positions or names"):
            choose(weights=weights)


def test_masks_are_functions_to_booleans():
    with pytest.raises(TypeError, match="`mask` must be a function; got ArrayImpl"):
        collect(f, mask=X)
    for keep, kind in ((3, "int"), ([True], "list"), (X, "float32")):
        with pytest.raises(TypeError, match=f"{kind} for dot_general:0.lhs"):
            collect(f, mask=lambda *_, keep=keep: keep)(None, W, X)


@pytest.mark.parametrize(
    ("statistics", "axis", "message"),
    [
        (None, "data", "`statistics` must be a mapping from names of sites; got None"),
        ({"a": 3}, "data", "`statistics` must hold statistics; got int for 'a'"),
        ({}, None, "`axis_name` must be a name of an axis or several; got None"),
    ],
)
def test_statistics_of_devices_have_names_and_axes(statistics, axis, message):
    with pytest.raises(TypeError, match=message):
        sync_statistics(statistics, axis)


def test_qparams_have_names_of_sites():
    with pytest.raises(TypeError, match="names of sites; got 3 as one"):
        fake_quant(f, RULES, {3: SCALES})


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (X, {}, "`args` must be a tuple, of the arguments of `f`; got ArrayImpl"),
        (None, {}, "`args` must be a tuple, .* got NoneType"),
        ((W, X), {"kwargs": 3}, "`kwargs` must be a mapping from names"),
        ((W, X), {"platforms": "cpu"}, "`platforms` must be a sequence of names"),
    ],
)
def test_exports_are_given_arguments(args, options, message):
    with pytest.raises(TypeError, match=message):
        export(f, {}, args, RULES, **options)


def test_results_that_no_program_returns_are_not_exported(tmp_path):
    path = tmp_path / "model.onnx"
    for result in ("text", len):
        given = (lambda w, x, r=result: (x @ w, r)), {}, (W, X)
        with pytest.raises(qcore.QuantError, match="results of `f` must be arrays or"):
            export(*given, RULES)
        with pytest.raises(qcore.QuantError, match="results of `f` must be arrays or"):
            export_onnx(*given, path, RULES)
    for constant in (lambda w, x: (x @ w, 3), lambda *_: None):
        with pytest.raises(qcore.QuantError, match="arrays of JAX to be outputs"):
            export_onnx(constant, {}, (W, X), path, RULES)
    assert not path.exists()


def test_numbers_are_results_of_exported_programs():
    _, number = export(lambda w, x: (x @ w, 3), {}, (W, X), RULES).call(X)
    assert number == 3


@pytest.mark.parametrize(
    ("leaf", "rules", "message"),
    [
        (W, 3, "got int"),
        (W, "int8", "got str"),
        (W, {"w": "int8"}, "must hold QParams or QuantSpec; got str for 'w'"),
        (W, {3: SPEC}, "names of leaves; got 3 as one"),
        (SHAPE, SPEC, r"w must be an array; got the shape of one, \(4, 3\)"),
    ],
)
def test_parameters_are_quantized_as_specs_say(leaf, rules, message):
    with pytest.raises(TypeError, match=message):
        quantize_params({"w": leaf}, rules)


def test_scales_of_other_libraries_are_taken():
    loaded = qcore.qparams_from_data(np.asarray(W), SPEC)
    found = quantize_params({"w": W}, {"w": loaded})["w"].dequantize()
    np.testing.assert_array_equal(found, fake_quantize(np.asarray(W), loaded))


def test_random_keys_take_bytes_as_their_data_does():
    for kind in ("threefry2x32", "rbg"):
        keys = jax.random.split(jax.random.key(0, impl=kind), 3)
        assert nbytes({"keys": keys}) == jax.random.key_data(keys).nbytes


@pytest.mark.parametrize("compiled", [lambda g: g, jax.jit])
def test_weights_whose_values_are_not_known_are_not_read(compiled):
    given = SHAPE if compiled is not jax.jit else W
    with pytest.raises(qcore.QuantError, match="weights must be arrays whose values"):
        compiled(weight_qparams(f, RULES))(given, X)


def test_parameters_without_elements_have_no_scales():
    assert weight_qparams(f, RULES)(W[:0], X[:, :0]) == {}
    assert weight_qparams(lambda _, x: x @ x.T, RULES)({}, X) == {}


def test_scales_that_do_not_fit_weights_are_refused():
    spec = qcore.QuantSpec("int8", qcore.PerChannel(0))
    scales = {"dot_general:0.rhs": qcore.qparams_from_data(jnp.ones((9, 9)), spec)}
    with pytest.raises(qcore.QuantError, match=r"shape \(4, 1\) at dot_general:0.rhs"):
        weight_qparams(f, RULES, scales)(W, X)


@pytest.mark.parametrize("quantize", [fake_quantize, QuantizedArray.of])
def test_what_is_rounded_is_floating_point(quantize):
    for x, kind in ((3, "int"), ([1.0], "list"), (W.astype(int), "int32")):
        with pytest.raises(TypeError, match=f"`x` must be .* got {kind}"):
            quantize(x, SCALES)
    with pytest.raises(TypeError, match="`qparams` must be QParams; got None"):
        quantize(W, None)


def test_a_number_is_no_row_of_codes():
    with pytest.raises(ValueError, match="`x` must have at least one axis"):
        QuantizedArray.of(jnp.float32(3), SCALES)
