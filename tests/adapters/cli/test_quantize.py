from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from qcore.adapters import onnx as adapter
from qcore.adapters.demo.onnxruntime import run


def zero_points(path: Path) -> list[np.ndarray]:
    """Return those of the activations."""
    graph = onnx.load(path).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    return [values[node.input[2]] for node in nodes]


@pytest.mark.parametrize("method", ["mse", "minmax", "entropy", "percentile"])
def test_a_model_of_any_method_answers_almost_as_the_float_model(
    qcore, model: Path, data: Path, digits: np.ndarray, tmp_path: Path, method: str
) -> None:
    output = tmp_path / "out.onnx"
    assert qcore(
        "quantize", model, "--data", data, "--method", method, "-o", output
    ) == (
        0,
        f"{output}: 8 of 8 Conv, Gemm and MatMul compute in int8; 31.3 kB.\n"
        "Calibrated on 8 samples; 100 to 500 make ranges that hold for others, too.\n",
        "",
    )
    wanted, got = run(model, digits), run(output, digits)
    assert np.sum((wanted - got) ** 2) < 0.03 * np.sum(wanted**2)


def test_saved_statistics_give_the_same_model_as_the_data(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    statistics, one, two = (tmp_path / name for name in ("s", "1.onnx", "2.onnx"))
    qcore("calibrate", model, "--data", data, "-o", statistics)
    qcore("quantize", model, "--data", data, "--recover", "none", "-o", one)
    qcore("quantize", model, "--statistics", statistics, "-o", two)
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("level", ["none", "bias", "gptq", "full"])
def test_rounding_is_made_up_for_with_the_data(
    qcore, model: Path, data: Path, tmp_path: Path, level: str
) -> None:
    output = tmp_path / "out.onnx"
    how = ("--recover", level, "--memory", 1)
    assert qcore("quantize", model, "--data", data, *how, "-o", output).code == 0
    wanted = adapter.quantize(model, data, recover=level)
    assert onnx.load(output) == wanted
    by_default = adapter.quantize(model, data)
    assert (by_default == wanted) == (level in {"gptq", "full"})


def test_recovery_without_data_is_refused(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    statistics, output = tmp_path / "s", tmp_path / "out.onnx"
    qcore("calibrate", model, "--data", data, "-o", statistics)
    given = ("--statistics", statistics, "--recover", "full")
    code, out, err = qcore("quantize", model, *given, "-o", output)
    assert (code, out) == (2, "")
    assert "must be 'none' without data" in err
    assert not output.exists()


def test_quiet_says_nothing(qcore, model: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    assert qcore("quantize", model, "--data", data, "-o", output, "-q") == (0, "", "")
    assert output.exists()


@pytest.mark.parametrize("codes", ["int8", "uint8"])
def test_activations_come_in_the_codes_asked_for(
    qcore, model: Path, data: Path, tmp_path: Path, codes: str
) -> None:
    output = tmp_path / "out.onnx"
    qcore("quantize", model, "--data", data, "--activation", codes, "-o", output)
    assert {zero.dtype.name for zero in zero_points(output)} == {codes}


def test_symmetric_zero_points_are_0(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    qcore("quantize", model, "--data", data, "--symmetric", "-o", output)
    assert {(z.dtype.name, z.item()) for z in zero_points(output)} == {("int8", 0)}


def test_the_option_of_a_method_reaches_it(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    command = ["quantize", model, "--data", data, "--method", "percentile"]
    one, two = tmp_path / "1.onnx", tmp_path / "2.onnx"
    qcore(*command, "--percentile", "100", "-o", one)
    qcore(*command, "--percentile", "0.5,99.5", "-o", two)
    assert one.read_bytes() != two.read_bytes()


@pytest.mark.slow
def test_the_method_for_weights_reaches_them(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "1.onnx", tmp_path / "2.onnx"
    qcore("quantize", model, "--data", data, "-o", one)
    qcore("quantize", model, "--data", data, "--weight-method", "mse", "-o", two)
    assert one.read_bytes() != two.read_bytes()


def test_what_is_excluded_is_listed_with_the_reason(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    command = ["quantize", model, "--data", data, "--exclude", "stem", "-o", output]
    first, _, third = qcore(*command).out.splitlines()
    assert "7 of 8" in first
    assert third == "Conv 'stem' stays float: it is excluded."


def test_operators_that_were_not_chosen_stay_float(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    command = ["quantize", model, "--data", data, "--op-types", "Gemm", "-o", output]
    assert "1 of 8" in qcore(*command).out
    weights = [t for t in onnx.load(output).graph.initializer if len(t.dims) == 4]
    assert {t.data_type for t in weights} == {TensorProto.FLOAT}


def test_an_earlier_output_is_replaced(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    output.write_text("old")
    assert qcore("quantize", model, "--data", data, "-o", output).code == 0
    assert output.stat().st_size > 1000


def test_a_sample_may_have_a_key_of_its_own(
    qcore, model: Path, npz: Callable[..., Path], digits: np.ndarray, tmp_path: Path
) -> None:
    data = npz(**{"image:0": digits[:1], "image:1": digits[1:4]})
    output = tmp_path / "out.onnx"
    assert qcore("quantize", model, "--data", data, "-o", output).code == 0


def test_samples_may_come_from_a_folder_or_from_own_code(
    qcore, model: Path, data: Path, tmp_path: Path, monkeypatch
) -> None:
    outputs = [tmp_path / f"{name}.onnx" for name in ("file", "folder", "code")]
    folder = tmp_path / "folder"
    folder.mkdir()
    (name,) = [value.name for value in onnx.load(model).graph.input]
    with np.load(data) as arrays:
        for i, row in enumerate(arrays[name]):
            np.save(folder / f"{i:03}.npy", row)
    (tmp_path / "own_samples.py").write_text(
        "import numpy\n"
        f"def give():\n    return list(numpy.load({str(data)!r})[{name!r}][:, None])\n"
    )
    monkeypatch.chdir(tmp_path)
    ways = (("--data", data), ("--data", folder), ("--reader", "own_samples:give"))
    for way, output in zip(ways, outputs, strict=True):
        assert qcore("quantize", model, *way, "-o", output, "-q") == (0, "", "")
    assert len({output.read_bytes() for output in outputs}) == 1


def test_a_model_is_made_for_the_runtime_that_is_asked_for(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    said = qcore(
        "quantize", model, "--data", data, "--target", "tensorrt", "-o", output
    )
    assert (said.code, said.err) == (0, "")
    assert {(str(z.dtype), int(z)) for z in zero_points(output)} == {("int8", 0)}
    refused = ("--target", "tensorrt", "--activation", "uint8")
    code, out, err = qcore("quantize", model, "--data", data, *refused, "-o", output)
    assert (code, out) == (2, "")
    assert "`activation` of tensorrt must be int8, float8_e4m3fn or float" in err


def test_a_plan_is_told_for_the_runtime_that_is_asked_for(qcore, model: Path) -> None:
    told = [
        qcore("inspect", model, "--target", name)
        for name in ("onnxruntime", "tensorrt")
    ]
    assert all(result.code == 0 for result in told)
    assert told[0].out != told[1].out


def scales(path: Path) -> dict[str, float]:
    """Return those of the activations, by tensor."""
    graph = onnx.load(path).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    nodes = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    return {node.input[0]: values[node.input[1]].item() for node in nodes}


def test_single_tensors_are_overridden(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    one, two, three = (tmp_path / f"{number}.onnx" for number in range(3))
    command = ["quantize", model, "--data", data]
    own = ("image:range=0,51", "mean.*:method=percentile", "mean.*:percentile=99")
    flags = [word for override in own for word in ("--override", override)]
    qcore(*command, *flags, "-o", one)
    qcore(*command, "-o", two)
    qcore(*command, "--method", "percentile", "--percentile", 99, "-o", three)
    found, default, percentile = map(scales, (one, two, three))
    assert found.pop("image") == np.float32(0.2)
    assert found.pop("mean.output") == percentile["mean.output"]
    assert found.pop("flatten.output") == percentile["mean.output"]
    assert found.items() <= default.items()


def test_a_plan_is_told_and_nothing_is_written(
    qcore, model: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.iterdir())
    own = ("--override", "image:range=0,1", "--exclude", "classifier")
    code, out, err = qcore("quantize", model, "--plan", *own)
    assert (code, err, sorted(tmp_path.iterdir())) == (0, "", before)
    lines = out.splitlines()
    assert lines[0] == "would compute in int8 (7):"
    assert "Gemm 'classifier' stays float: it is excluded." in lines
    assert lines[-1] == "All other operators stay float. Nothing was written."


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--activation", "float"], "weights of 8 operators are stored in int8;"),
        (
            ["--activation", "float", "--weight", "int4", "--block", "32"],
            "weights of 3 operators are stored in int4;",
        ),
        (["--activation", "dynamic"], "Conv, Gemm and MatMul compute in int8;"),
    ],
)
def test_codes_that_need_no_data_are_written_without(
    qcore, model: Path, tmp_path: Path, options, said
) -> None:
    output = tmp_path / "out.onnx"
    code, out, err = qcore("quantize", model, *options, "-o", output)
    assert (code, err) == (0, "")
    assert said in out
    onnx.checker.check_model(output, full_check=True)


def test_float8_is_calibrated_and_written(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    statistics, output = tmp_path / "seen.safetensors", tmp_path / "out.onnx"
    wanted = ("--activation", "float8_e4m3fn")
    qcore("calibrate", model, "--data", data, *wanted, "-o", statistics)
    command = ("quantize", model, "--statistics", statistics, *wanted, "-o", output)
    code, out, err = qcore(*command)
    assert (code, err) == (0, "")
    assert "compute in float8_e4m3fn;" in out


def test_an_unknown_format_is_answered_with_the_nearest(qcore, model: Path) -> None:
    command = ("quantize", model, "--activation", "int88", "-o", "out.onnx")
    assert "got 'int88': did you mean 'int8'" in qcore(*command).err


def test_rounded_floats_are_written(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    for options in (
        ["--activation", "int6", "--data", data],
        ["--activation", "mxfp4"],
    ):
        result = qcore("quantize", model, "--fake", *options, "-o", output)
        assert (result.code, result.err) == (0, "")
        assert f"compute in floats, rounded to {options[1]};" in result.out
        onnx.checker.check_model(output, full_check=True)


@pytest.mark.parametrize(("flags", "amount"), [((), True), ((0.5,), 0.5)])
def test_inputs_are_smoothed_if_asked(
    qcore, model: Path, data: Path, tmp_path: Path, flags: tuple, amount: object
) -> None:
    output = tmp_path / "out.onnx"
    how = ("--recover", "none", "--smooth", *flags)
    said = qcore("quantize", model, "--data", data, "-o", output, *how)
    assert said.code == 0
    assert "Calibrated on 8 samples" in said.out
    wanted = adapter.quantize(model, data, smooth=amount, recover="none")
    assert onnx.load(output) == wanted


def test_smoothing_goes_without_a_choice_of_methods(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    given = ("--data", data, "--smooth", "--bins", 512, "-o", output)
    code, out, err = qcore("quantize", model, *given)
    assert (code, out) == (2, "")
    assert "--smooth must come without --evaluate, --bins or --budget" in err


def test_a_budget_gives_some_layers_16_bits(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.onnx"
    given = ("--data", data, "--recover", "none", "-o", output)
    assert qcore("quantize", model, *given, "--budget", 9).code == 0
    statistics = adapter.calibrate(model, data)
    own = adapter.spend_bits(model, statistics, data, 9)
    assert 0 < len(own) < 16
    assert onnx.load(output) == adapter.quantize(model, statistics, overrides=own)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--budget", 20), "from 8 to 16 bits; got 20"),
        (("--budget", 9, "--smooth"), "--smooth must come without"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(
    qcore, model: Path, data: Path, tmp_path: Path, flags: tuple, said: str
) -> None:
    output = tmp_path / "out.onnx"
    code, _, err = qcore("quantize", model, "--data", data, *flags, "-o", output)
    assert code == 2
    assert said in err
    assert not output.exists()


def test_what_does_not_go_together_is_told_before_the_model_is_scored(
    qcore, model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scoring_never.py").write_text("def score(model):\n    raise OSError\n")
    monkeypatch.syspath_prepend(tmp_path)
    given = ("--data", data, "-o", tmp_path / "out.onnx", "--smooth")
    _, _, err = qcore("quantize", model, *given, "--evaluate", "scoring_never:score")
    assert "--smooth must come without" in err


@pytest.mark.parametrize("options", [[], ["--smooth"], ["--target", "tensorrt"]])
def test_what_is_foretold_is_done(
    qcore, model: Path, data: Path, tmp_path: Path, options
) -> None:
    output = tmp_path / "out.onnx"
    told = qcore("quantize", model, "--plan", *options)
    done = qcore("quantize", model, "--data", data, *options, "-o", output)
    assert told.code == done.code == 0
    starts = [line.split()[0] if line else "" for line in told.out.splitlines()]
    rows = starts[starts.index("activation") + 1 : starts.index("Weights")]
    assert set(rows) == scales(output).keys()


def test_blocks_are_foretold(qcore, model: Path) -> None:
    block = ("--activation", "float", "--weight", "int4", "--block", 32)
    code, out, _ = qcore("quantize", model, "--plan", *block)
    assert code == 0
    assert "Weights are stored in int4 by blocks of 32, ranges by output." in out


def test_an_override_that_fits_nothing_is_refused_before_data_is_read(
    qcore, model: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "none.npz"
    own = ("--override", "imag:range=0,1", "-o", tmp_path / "out.onnx")
    code, _, err = qcore("quantize", model, "--data", missing, *own)
    assert code == 2
    assert "`overrides` must name tensors to be quantized; got 'imag'" in err


def test_a_checkpoint_changes_nothing_and_is_gone_at_the_end(
    qcore, model: Path, data: Path, tmp_path: Path, monkeypatch
) -> None:
    plain, resumed, folder = (tmp_path / name for name in ("a.onnx", "b.onnx", "done"))
    common = "quantize", model, "--data", data, "-q", "-o"
    assert qcore(*common, plain).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(adapter, "save", interrupt)
        assert qcore(*common, resumed, "--checkpoint", folder).code == 130
    assert any(folder.iterdir())
    assert qcore(*common, resumed, "--checkpoint", folder).code == 0
    assert resumed.read_bytes() == plain.read_bytes()
    assert not folder.exists()


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_checkpoint_of_nothing_is_refused_before_data_is_read(
    qcore, model: Path, tmp_path: Path
) -> None:
    own = ("--recover", "none", "--checkpoint", tmp_path / "done")
    given = ("--data", tmp_path / "none.npz", "-o", tmp_path / "out.onnx")
    code, _, err = qcore("quantize", model, *given, *own)
    assert code == 2
    assert "`checkpoint` must come with data to recover with" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--activation", "int16"], "would compute in int16 (8):"),
        (
            ["--fake", "--activation", "mxfp8_e4m3"],
            "would compute in floats, rounded to mxfp8_e4m3 (8):",
        ),
        (["--budget", "9"], "With data, --budget gives those of them 16 bits"),
    ],
)
def test_a_plan_tells_which_numbers_it_is_of(qcore, model: Path, options, said) -> None:
    code, out, _ = qcore("quantize", model, "--plan", *options)
    assert code == 0
    assert said in out


def test_a_block_that_nothing_has_room_for_leaves_nothing_to_do(
    qcore, model: Path, tmp_path: Path
) -> None:
    block = ("--activation", "float", "--weight", "int4", "--block", 256)
    code, _, err = qcore("quantize", model, *block, "-o", tmp_path / "out.onnx")
    assert code == 1
    assert "a channel has fewer weights than the 256 of a block" in err
