"""quantize_onnx_model, its settings and platforms: item S2.11 and more."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import qcore
from qcore.adapters import ppq
from qcore.adapters.ppq import QuantizationStates as States
from qcore.adapters.ppq import TargetPlatform

Build = Callable[..., onnx.ModelProto]
Samples = list[dict[str, np.ndarray]]

PLATFORMS = [
    TargetPlatform.ONNXRUNTIME,
    TargetPlatform.OPENVINO_INT8,
    TargetPlatform.PPL_CUDA_INT8,
    TargetPlatform.TRT_INT8,
]


def answers(model: onnx.ModelProto, samples: Samples) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return np.concatenate([session.run(["y"], sample)[0] for sample in samples])


def test_s2_11_default_settings_calibrate_activations(
    net: onnx.ModelProto, samples: Samples
) -> None:
    setting = ppq.QuantizationSettingFactory.default_setting()
    setting.quantize_activation = True
    graph = ppq.quantize_onnx_model(
        net,
        samples,
        calib_steps=8,
        input_shape=[1, 2, 8, 8],
        setting=setting,
        platform=TargetPlatform.PPL_CUDA_INT8,
        collate_fn=lambda sample: sample,
    )
    states = {name: config.state for name, config in graph.tensors.items()}
    assert states == {
        **dict.fromkeys(("x", "r", "k"), States.ACTIVATED),
        **dict.fromkeys(("c", "d", "p", "f"), States.OVERLAPPED),
        **dict.fromkeys(("w1", "w2", "w3"), States.BAKED),
        **dict.fromkeys(("b1", "b2", "b3"), States.PASSIVE_BAKED),
        **dict.fromkeys(("low", "high"), States.PASSIVE),
    }


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("is_file", [False, True])
def test_the_model_answers_as_the_float_one(
    net: onnx.ModelProto,
    samples: Samples,
    platform: TargetPlatform,
    tmp_path: Path,
    is_file: bool,
) -> None:
    source: onnx.ModelProto | Path = net
    if is_file:
        source = tmp_path / "model.onnx"
        onnx.save(net, source)
    graph = ppq.quantize_onnx_model(source, samples, platform=platform)
    wanted = answers(net, samples)
    got = np.concatenate([graph.run(sample)["y"] for sample in samples])
    noise = ((got - wanted) ** 2).sum() / (wanted**2).sum()
    assert noise < 2e-3


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_has_the_codes_of_its_runtime(
    net: onnx.ModelProto, samples: Samples, platform: TargetPlatform
) -> None:
    graph = ppq.quantize_onnx_model(net, samples, platform=platform)
    is_symmetric = platform in {TargetPlatform.PPL_CUDA_INT8, TargetPlatform.TRT_INT8}
    codes = {(c.spec.format.name, c.spec.symmetric) for c in activations(graph)}
    assert codes == {("int8", True) if is_symmetric else ("uint8", False)}
    has_bias_codes = platform in PLATFORMS[::2]
    assert (graph.tensors["b1"].state is not States.FP32) == has_bias_codes


def activations(graph: ppq.QuantizedGraph) -> list[ppq.TensorQuantizationConfig]:
    return [c for c in graph.tensors.values() if not c.is_parameter]


@pytest.mark.parametrize(
    ("name", "number"),
    [("TRT_INT8", 101), ("PPL_CUDA_INT8", 201), ("FP32", 0), ("SHAPE_OR_INDEX", -1)],
)
def test_s2_11_platforms_have_their_numbers(name: str, number: int) -> None:
    assert TargetPlatform[name] is TargetPlatform(number)


def test_float8_is_a_platform_too(net: onnx.ModelProto, samples: Samples) -> None:
    graph = ppq.quantize_onnx_model(net, samples, platform=TargetPlatform.TRT_FP8)
    x = graph.tensors["x"]
    assert (x.spec.format.name, x.quant_max, x.num_of_bits) == (
        *("float8_e4m3fn", 448, 8),
    )


@pytest.mark.parametrize("name", ["PPL_DSP_INT8", "NCNN_INT8", "FP32"])
def test_a_platform_without_rules_is_refused(
    net: onnx.ModelProto, samples: Samples, name: str
) -> None:
    with pytest.raises(ValueError, match=f"PPL_CUDA_INT8.*got {name}"):
        ppq.quantize_onnx_model(net, samples, platform=TargetPlatform[name])


def test_an_operation_that_is_dispatched_to_floats_stays_float(
    net: onnx.ModelProto, samples: Samples
) -> None:
    setting = ppq.QuantizationSettingFactory.default_setting()
    setting.dispatching_table.append("conv1", TargetPlatform.FP32)
    graph = ppq.quantize_onnx_model(net, samples, setting=setting)
    assert "w1" not in graph.tensors
    assert graph.tensors["w2"].state is States.BAKED


def test_an_operation_is_dispatched_to_no_other_codes() -> None:
    table = ppq.QuantizationSettingFactory.trt_setting().dispatching_table
    with pytest.raises(qcore.QuantError, match="of 'conv1' must be FP32"):
        table.append("conv1", TargetPlatform.PPL_CUDA_INT4)


@pytest.mark.parametrize(
    "name", ["equalization", "bias_correct", "lsq_optimization", "channel_split"]
)
def test_what_no_pass_does_is_refused_and_what_does_it_is_told(
    net: onnx.ModelProto, samples: Samples, name: str
) -> None:
    setting = ppq.QuantizationSettingFactory.pplcuda_setting()
    setattr(setting, name, True)
    with pytest.raises(qcore.QuantError, match=f"`{name}`.*adapters.onnx.quantize"):
        ppq.quantize_onnx_model(net, samples, setting=setting)


@pytest.mark.parametrize("name", ["quantize_activation", "quantize_parameter"])
def test_both_operands_get_codes(
    net: onnx.ModelProto, samples: Samples, name: str
) -> None:
    setting = ppq.QuantizationSetting()
    setattr(setting, name, False)
    with pytest.raises(qcore.QuantError, match=f"`{name}` must be true"):
        ppq.quantize_onnx_model(net, samples, setting=setting)


def test_a_setting_that_is_misspelt_is_an_error() -> None:
    setting = ppq.QuantizationSetting()
    with pytest.raises(AttributeError):
        setting.quantise_activation = True


def test_parameters_stay_as_the_setting_says(
    net: onnx.ModelProto, samples: Samples
) -> None:
    setting = ppq.QuantizationSetting()
    setting.quantize_parameter_setting.quantize_passive_parameter = False
    setting.quantize_parameter_setting.baking_parameter = False
    graph = ppq.quantize_onnx_model(net, samples, setting=setting)
    states = {c.role: c.state for c in graph.tensors.values()}
    assert states["weight"] is States.ACTIVATED
    assert states["bias"] is states["clip"] is States.FP32


def test_not_to_quantize_leaves_all_to_the_passes(
    net: onnx.ModelProto, samples: Samples
) -> None:
    graph = ppq.quantize_onnx_model(net, do_quantize=False)
    assert graph.tensors["x"].state is States.INITIAL
    pipeline = ppq.QuantizationOptimizationPipeline(
        [ppq.RuntimeCalibrationPass("mse"), ppq.PassiveParameterQuantizePass()]
    )
    pipeline.optimize(graph, dataloader=samples, calib_steps=8)
    assert graph.run(samples[0])["y"].shape == (1, 5)


def test_without_data_it_must_not_be_asked_to_quantize(net: onnx.ModelProto) -> None:
    with pytest.raises(qcore.QuantError, match="`calib_dataloader` must be given"):
        ppq.quantize_onnx_model(net)


def test_a_shape_that_is_not_the_model_s_is_refused(
    net: onnx.ModelProto, samples: Samples
) -> None:
    with pytest.raises(qcore.QuantError, match="in `input_shape`"):
        ppq.quantize_onnx_model(net, samples, 8, [1, 3, 8, 8])


def test_what_ppq_needs_a_device_for_is_taken(
    net: onnx.ModelProto, samples: Samples
) -> None:
    ppq.quantize_onnx_model(net, samples, 8, device="cuda", verbose=1)
    with pytest.raises(TypeError, match="'devise'"):
        ppq.quantize_onnx_model(net, samples, 8, devise="cuda")


def test_feeds_that_do_not_fit_are_refused(
    net: onnx.ModelProto, samples: Samples
) -> None:
    graph = ppq.quantize_onnx_model(net, samples)
    with pytest.raises(qcore.QuantError, match="input 'x' of the model must be given"):
        graph.run({})


def test_importing_it_does_not_import_torch() -> None:
    code = "import sys, qcore.adapters.ppq; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


LOOP = """{
    z = Conv(x, w)
    y = Loop(trips, go, z) <body = b (int64 i, bool on, float[1, 2, 4, 4] s)
        => (bool more, float[1, 2, 4, 4] o) {
        more = Identity(on)
        o = Conv(s, w)
    }>
}"""


@pytest.mark.parametrize(("trips", "state"), [(0, States.FP32), (3, States.ACTIVATED)])
def test_what_never_ran_stays_float(
    build: Build, rng: np.random.Generator, trips: int, state: States
) -> None:
    w = rng.normal(size=(2, 2, 1, 1)).astype(np.float32)
    ends = "float[1, 2, 4, 4] x, int64 trips, bool go", "float[1, 2, 4, 4] y"
    x = rng.normal(size=(1, 2, 4, 4)).astype(np.float32)
    feed = {"x": x, "trips": np.asarray(trips), "go": np.asarray(True)}
    graph = ppq.quantize_onnx_model(build(*ends, LOOP, w=w), [feed])
    assert (graph.tensors["z"].state, graph.tensors["s"].state) == (
        *(States.ACTIVATED, state),
    )
    assert graph.run(feed)["y"].shape == x.shape


@pytest.mark.parametrize("platform", [*PLATFORMS, TargetPlatform.TRT_FP8])
def test_a_model_in_float16_is_taken(
    build: Build, rng: np.random.Generator, platform: TargetPlatform
) -> None:
    w, b = (rng.normal(size=n).astype(np.float16) for n in ((2, 2, 1, 1), 2))
    body = "{ a = Conv(x, w, b)\n r = Relu(a)\n y = Conv(r, w) }"
    ends = "float16[1, 2, 4, 4] x", "float16[1, 2, 4, 4] y"
    model = build(*ends, body, w=w, b=b)
    x = rng.normal(size=(1, 2, 4, 4)).astype(np.float16)
    graph = ppq.quantize_onnx_model(model, [x], platform=platform)
    wanted = answers(model, [{"x": x}]).astype(np.float64)
    noise = ((graph.run({"x": x})["y"] - wanted) ** 2).sum() / (wanted**2).sum()
    assert noise < (1e-2 if platform is TargetPlatform.TRT_FP8 else 1e-3)


def test_float8_runs_as_it_is_written(net: onnx.ModelProto, samples: Samples) -> None:
    graph = ppq.quantize_onnx_model(net, samples, platform=TargetPlatform.TRT_FP8)
    wanted = answers(net, samples[:1])
    assert (
        np.abs(graph.run(samples[0])["y"] - wanted).max() < 0.2 * np.abs(wanted).max()
    )


def test_biases_of_float16_stay_floats(build: Build, rng: np.random.Generator) -> None:
    w, b = (rng.normal(size=n).astype(np.float16) for n in ((2, 2, 1, 1), 2))
    ends = "float16[1, 2, 4, 4] x", "float16[1, 2, 4, 4] y"
    model = build(*ends, "{ y = Conv(x, w, b) }", w=w, b=b)
    graph = ppq.quantize_onnx_model(model, [np.ones((1, 2, 4, 4), np.float16)])
    assert graph.tensors["b"].state is States.FP32


def test_a_weight_on_the_left_has_the_middle_code_for_0(
    build: Build, rng: np.random.Generator
) -> None:
    w = rng.normal(size=(2, 4)).astype(np.float32)
    model = build("float[4, 3] x", "float[2, 3] y", "{ y = MatMul(w, x) }", w=w)
    x = rng.normal(size=(4, 3)).astype(np.float32)
    config = ppq.quantize_onnx_model(model, [x]).tensors["w"]
    assert (config.spec.format.name, config.offset) == ("uint8", 128)
    assert not config.is_symmetrical


def test_a_loader_without_samples_is_refused(graph: ppq.QuantizedGraph) -> None:
    with pytest.raises(qcore.QuantError, match="at least one sample"):
        ppq.RuntimeCalibrationPass().optimize(graph, [])
