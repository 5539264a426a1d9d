"""PassiveParameterQuantizePass: item S2.16; and what becomes of baked parameters."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import qcore
from qcore.adapters import ppq
from qcore.adapters.onnx import quantize
from qcore.adapters.ppq import QuantizationStates as States

Build = Callable[..., onnx.ModelProto]
Samples = list[dict[str, np.ndarray]]


@pytest.fixture
def calibrated(graph: ppq.QuantizedGraph, samples: Samples) -> ppq.QuantizedGraph:
    ppq.RuntimeCalibrationPass("minmax").optimize(graph, samples)
    return graph


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_s2_16_the_scale_of_a_bias_is_that_of_input_times_weight(
    calibrated: ppq.QuantizedGraph, number: int
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    x = calibrated.tensors[{1: "x", 2: "p", 3: "f"}[number]]
    weight, bias = (calibrated.tensors[f"{name}{number}"] for name in "wb")
    np.testing.assert_array_equal(bias.scale, x.scale * weight.scale.ravel())
    np.testing.assert_array_equal(bias.offset, np.zeros_like(bias.scale))
    assert (bias.state, bias.num_of_bits) == (States.PASSIVE, 32)


def test_s2_16_the_codes_of_a_bias_are_the_nearest(
    calibrated: ppq.QuantizedGraph, constants: dict[str, np.ndarray]
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    scale = calibrated.tensors["b1"].scale.astype(np.float64)
    codes = initializers(calibrated.model)["b1_quantized"]
    np.testing.assert_array_equal(codes, np.rint(constants["b1"] / scale))


def test_s2_16_weights_by_minmax_have_the_largest_over_127(
    net: onnx.ModelProto, samples: Samples, constants: dict[str, np.ndarray]
) -> None:
    graph = ppq.QuantizedGraph(net, platform=ppq.TargetPlatform.PPL_CUDA_INT8)
    ppq.RuntimeCalibrationPass().optimize(graph, samples)
    ppq.PassiveParameterQuantizePass().optimize(graph)
    amax = np.abs(constants["w1"]).max((1, 2, 3), keepdims=True)
    np.testing.assert_array_equal(graph.tensors["w1"].scale, amax / np.float32(127))


def test_s2_16_a_bias_must_be_symmetric(calibrated: ppq.QuantizedGraph) -> None:
    calibrated.tensors["b1"].spec = qcore.QuantSpec("uint8", symmetric=False)
    with pytest.raises(qcore.QuantError, match="'b1' must be None"):
        ppq.PassiveParameterQuantizePass().optimize(calibrated)


def test_s2_16_the_bounds_of_a_clip_have_the_scale_of_its_input(
    calibrated: ppq.QuantizedGraph,
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    tensors = calibrated.tensors
    for name in ("low", "high"):
        assert tensors[name].state is States.PASSIVE
        assert tensors[name].visibility is ppq.QuantizationVisibility.INTERNAL
        assert tensors[name].dominated_by is tensors["d"].dominated_by
        assert tensors[name].scale == tensors["d"].scale


def test_s2_16_bounds_that_are_rounded_to_codes_change_no_code(
    calibrated: ppq.QuantizedGraph,
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    scale, offset = (getattr(calibrated.tensors["d"], n) for n in ("scale", "offset"))
    x = np.linspace(-3, 3, 10001, dtype=np.float32)

    def codes(y: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(y / scale) + offset, 0, 255)

    rounded = [(codes(np.float32(end)) - offset) * scale for end in (-1, 1.5)]
    np.testing.assert_array_equal(
        codes(np.clip(x, -1, np.float32(1.5))), codes(np.clip(x, *rounded))
    )


PADDED = """{
    [pool] p = AveragePool<kernel_shape = [1, 1]>(x)
    [conv] d = Conv(p, w)
    [pad] e = Pad(d, pads, fill)
    [relu] r = Relu(e)
    [conv2] y = Conv(r, v)
}"""


def test_s2_16_what_a_pad_fills_with_has_the_scale_of_its_input(
    build: Build, rng: np.random.Generator
) -> None:
    w = rng.normal(size=(2, 2, 1, 1)).astype(np.float32)
    pads = np.asarray([0, 0, 1, 1, 0, 0, 1, 1])
    ends = "float[1, 2, 4, 4] x", "float[1, 2, 6, 6] y"
    model = build(*ends, PADDED, w=w, v=w, pads=pads, fill=np.float32(0.5))
    graph = ppq.QuantizedGraph(model)
    x = rng.normal(size=(1, 2, 4, 4)).astype(np.float32)
    ppq.RuntimeCalibrationPass().optimize(graph, [x])
    ppq.PassiveParameterQuantizePass().optimize(graph)
    assert graph.tensors["fill"].state is States.PASSIVE
    assert graph.tensors["fill"].scale == graph.tensors["d"].scale


def test_s2_16_what_is_not_processed_stays_float(
    calibrated: ppq.QuantizedGraph, constants: dict[str, np.ndarray]
) -> None:
    ppq.PassiveParameterQuantizePass(process_clip=False, process_bias=False).optimize(
        calibrated
    )
    states = {calibrated.tensors[name].state for name in ("b1", "b2", "b3", "low")}
    assert states == {States.FP32}
    held = initializers(calibrated.model)["b1"]
    np.testing.assert_array_equal(held, constants["b1"])


def test_s2_16_what_was_processed_can_be_undone(
    calibrated: ppq.QuantizedGraph, constants: dict[str, np.ndarray]
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    ppq.PassiveParameterQuantizePass(process_bias=False).optimize(calibrated)
    held = initializers(calibrated.model)["b1"]
    np.testing.assert_array_equal(held, constants["b1"])


def test_s2_16_an_input_without_scale_is_a_permission_error_that_names_it(
    graph: ppq.QuantizedGraph,
) -> None:
    with pytest.raises(PermissionError, match="'x' is INITIAL") as caught:
        ppq.PassiveParameterQuantizePass().optimize(graph)
    assert isinstance(caught.value, qcore.QuantError)


@pytest.mark.parametrize("name", ["clip_visiblity", "pad_visiblity"])
def test_s2_16_bounds_are_not_written_as_codes(name: str) -> None:
    shown = {name: ppq.QuantizationVisibility.FORCE_EXPORT}
    with pytest.raises(qcore.QuantError, match=f"`{name}` must be INTERNAL"):
        ppq.PassiveParameterQuantizePass(**shown)


def test_a_bias_that_is_fp32_stays_float_alone(
    calibrated: ppq.QuantizedGraph, constants: dict[str, np.ndarray]
) -> None:
    calibrated.tensors["b2"].state = States.FP32
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    held = initializers(calibrated.model)
    np.testing.assert_array_equal(held["b2"], constants["b2"])
    assert "b1" not in held


def test_a_bias_that_two_nodes_add_has_the_scale_of_the_first(
    build: Build, rng: np.random.Generator
) -> None:
    w, b = rng.normal(size=(2, 2, 1, 1)), rng.normal(size=2)
    body = "{ a = Conv(x, w, b)\n r = Relu(a)\n y = Conv(r, w, b) }"
    ends = "float[1, 2, 4, 4] x", "float[1, 2, 4, 4] y"
    model = build(*ends, body, w=w.astype(np.float32), b=b.astype(np.float32))
    graph = ppq.QuantizedGraph(model)
    x = rng.normal(size=(1, 2, 4, 4)).astype(np.float32)
    ppq.RuntimeCalibrationPass().optimize(graph, [x])
    ppq.PassiveParameterQuantizePass().optimize(graph)
    of_x, of_w, of_b = (graph.tensors[name].scale for name in "xwb")
    np.testing.assert_array_equal(of_b, of_x * of_w.ravel())


def test_a_weight_that_is_fp32_is_refused(calibrated: ppq.QuantizedGraph) -> None:
    calibrated.tensors["w1"].state = States.FP32
    with pytest.raises(qcore.QuantError, match="'w1' must not be FP32"):
        ppq.PassiveParameterQuantizePass().optimize(calibrated)


def test_an_input_that_is_fp32_leaves_its_operator_float(
    calibrated: ppq.QuantizedGraph, constants: dict[str, np.ndarray]
) -> None:
    calibrated.tensors["x"].state = States.FP32
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    held = initializers(calibrated.model)
    np.testing.assert_array_equal(held["w1"], constants["w1"])
    assert "w3" not in held


def test_what_was_moved_from_floats_keeps_the_scale_it_had(
    calibrated: ppq.QuantizedGraph,
) -> None:
    before = calibrated.tensors["r"].scale
    calibrated.tensors["r"].state = States.FP32
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    pooled = calibrated.tensors["p"]
    assert (pooled.state, pooled.scale) == (States.ACTIVATED, before)
    assert "w2_quantized" in initializers(calibrated.model)


def test_what_is_fp32_is_not_in_codes_though_its_origin_is(
    calibrated: ppq.QuantizedGraph, constants: dict[str, np.ndarray]
) -> None:
    calibrated.tensors["p"].state = States.FP32
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    held = initializers(calibrated.model)
    np.testing.assert_array_equal(held["w2"], constants["w2"])
    assert "w1_quantized" in held


def test_a_scale_that_was_set_is_that_of_the_model(
    calibrated: ppq.QuantizedGraph,
) -> None:
    config = calibrated.tensors["x"]
    config.qparams = qcore.QParams(
        np.float32(0.5), np.asarray(7, np.int32), config.qparams.spec
    )
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    held = initializers(calibrated.model)
    assert (held["x_scale"], held["x_zero_point"]) == (0.5, 7)


def test_baked_are_weights_and_biases_whose_codes_are_held(
    calibrated: ppq.QuantizedGraph,
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    ppq.ParameterBakingPass().optimize(calibrated)
    states = {c.name: c.state for c in calibrated.tensors.values()}
    assert {states[name] for name in ("w1", "w2", "w3")} == {States.BAKED}
    assert {states[name] for name in ("b1", "b2", "b3")} == {States.PASSIVE_BAKED}


def test_new_scales_of_activations_take_those_of_parameters_away(
    calibrated: ppq.QuantizedGraph, samples: Samples
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    ppq.RuntimeCalibrationPass(override=True).optimize(calibrated, samples)
    assert calibrated.tensors["b1"].state is States.PASSIVE_INIT
    with pytest.raises(ppq.PassOrderError, match="'low' is PASSIVE_INIT"):
        calibrated.export("model.onnx")


def test_the_model_is_that_of_the_onnx_adapter(
    calibrated: ppq.QuantizedGraph, net: onnx.ModelProto
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    wanted = quantize(
        net, calibrated.statistics, method="minmax", weight_method="minmax"
    )
    assert calibrated.model == wanted


def test_the_model_runs_as_it_is_written(
    calibrated: ppq.QuantizedGraph, samples: Samples, tmp_path: Path
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    calibrated.export(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    wanted = session.run(["y"], samples[0])[0]
    np.testing.assert_array_equal(calibrated.run(samples[0])["y"], wanted)


def test_another_method_of_weights_takes_their_scales_away(
    calibrated: ppq.QuantizedGraph,
) -> None:
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    ppq.ParameterQuantizePass("mse").optimize(calibrated)
    assert calibrated.tensors["w1"].state is States.INITIAL
    with pytest.raises(ppq.PassOrderError):
        calibrated.run({})


def test_a_result_that_is_fp32_leaves_its_conv_float(
    calibrated: ppq.QuantizedGraph, constants: dict[str, np.ndarray]
) -> None:
    calibrated.tensors["r"].state = States.FP32
    ppq.PassiveParameterQuantizePass().optimize(calibrated)
    held = initializers(calibrated.model)
    np.testing.assert_array_equal(held["w1"], constants["w1"])
    assert "r_scale" not in held
