"""S5: AMCT's QuantCalibrationOp."""

import copy
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from qcore import FileFormatError, NoDataError, NonFiniteError, QuantError
from qcore.adapters.amct_pytorch.nn.module.quantization import quant_calibration_op
from qcore.adapters.records import amct
from qcore.adapters.torch.amct.quant_calibration_op import QuantCalibrationOp
from tests.adapters.torch.amct_calibration import factors, skewed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kv_cache.txt"


def test_s5_1_data_passes_and_factors_are_written(path: Path):
    x = skewed(0, 2, 3, 16)
    op = QuantCalibrationOp(str(path))
    assert op("layer", x) is x
    scale, offset = factors(path, "layer")
    assert scale.shape == offset.shape == (1,)


def test_s5_2_s5_3_factors_are_written_after_as_many_batches(path: Path):
    op = QuantCalibrationOp(path, {"batch_num": 3})
    for seed in range(2):
        op("layer", skewed(seed, 100))
    assert not path.exists()
    op("layer", skewed(2, 100))
    written = path.read_text()
    op("layer", 100 * skewed(3, 100))
    assert path.read_text() == written
    assert op.cur_batch == {"layer": 3}


@pytest.mark.parametrize("algorithm", ["ifmr", "hfmg"])
def test_s5_3_batches_count_as_their_union(path: Path, algorithm: str):
    x = skewed(1, 400, 8)
    params = {"act_algo": algorithm, "quant_granularity": 1}
    QuantCalibrationOp(path, params)("whole", x)
    op = QuantCalibrationOp(path, params | {"batch_num": 3})
    for part in x[:100], x[100:350], x[350:]:
        op("parts", part)
    record = amct.read(path)
    assert record["parts"] == record["whole"]


def test_s5_4_a_file_is_merged_with(path: Path):
    path.write_text('record { key: "conv" value { scale_d: 0.5 offset_d: 1 } }')
    op = QuantCalibrationOp(path)
    assert "conv" in path.read_text()
    op("layer", skewed(0, 100))
    op("conv", skewed(1, 100))
    record = amct.read(path)
    assert record["conv"].value == amct.LayerRecord(scale_d=0.5, offset_d=1)
    assert record["conv"].kv_cache_value is not None
    assert list(record) == ["conv", "layer"]


def test_s5_4_what_is_overwritten_is_warned_of(path: Path):
    QuantCalibrationOp(path)("layer", skewed(0, 100))
    op = QuantCalibrationOp(path)
    with pytest.warns(
        UserWarning, match=r"'layer' already had kv_cache_value in .*txt"
    ):
        op("layer", torch.full((10,), 255.0))
    assert factors(path, "layer")[0] == pytest.approx(1, rel=0.1)
    op("layer", torch.ones(10))  # no warning: it is calibrated


def test_s5_7_more_bits_give_finer_scales(path: Path):
    x = torch.linspace(-1, 1, 1000)
    for bits in (8, 16):
        params = {"num_bits": bits, "asymmetric": False}
        QuantCalibrationOp(path, params)(f"{bits}", x)
    coarse, fine = factors(path, "8")[0], factors(path, "16")[0]
    assert coarse / fine == pytest.approx(32767 / 127, rel=0.05)


@pytest.mark.parametrize("granularity", [1, "1", "per_channel"])
def test_s5_11_s5_17_channels_are_the_last_axis(path: Path, granularity):
    x = skewed(3, 4, 50, 3) * torch.tensor([1.0, 10.0, 100.0])
    QuantCalibrationOp(path, {"quant_granularity": granularity})("all", x)
    for i in range(3):
        QuantCalibrationOp(path)(f"{i}", x[..., i])
    alone = [factors(path, f"{i}") for i in range(3)]
    np.testing.assert_array_equal(factors(path, "all"), np.concatenate(alone, axis=1))


def test_s5_12_options_reach_the_method(path: Path):
    x = skewed(4, 10_000)
    QuantCalibrationOp(path)("free", x)
    params = {"search_range": (0.1, 0.2), "search_step": 0.1, "max_percentile": 0.9}
    QuantCalibrationOp(path, params)("clipped", x)
    assert factors(path, "clipped")[0] < 0.1 * factors(path, "free")[0]


def test_a_file_that_is_no_record_is_refused_and_kept(path: Path):
    path.write_text("something else")
    with pytest.raises(FileFormatError, match=r"kv_cache\.txt must be a record"):
        QuantCalibrationOp(path)
    assert path.read_text() == "something else"


def test_s5_15_gradients_pass(path: Path):
    x = skewed(0, 100).requires_grad_()
    QuantCalibrationOp(path)("layer", 2 * x).sum().backward()
    assert (x.grad == 2).all()


def test_s5_16_each_layer_has_its_own_count(path: Path):
    op = QuantCalibrationOp(path, {"batch_num": 2})
    for name in ("a", "b", "a"):
        op(name, skewed(0, 100))
    assert list(amct.read(path)) == ["a"]
    op(calibrated_layer_name="b", inputs=skewed(0, 100))
    record = amct.read(path)
    assert record["a"] == record["b"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("algorithm", ["ifmr", "hfmg"])
def test_s5_18_values_that_are_not_finite_name_layer_and_batch(
    path: Path, value: float, algorithm: str
):
    op = QuantCalibrationOp(path, {"act_algo": algorithm, "batch_num": 2})
    op("layer", skewed(0, 100))
    wrong = torch.tensor([1.0, value])
    with pytest.raises(NonFiniteError, match=r"layer 'layer', batch 2: .* finite"):
        op("layer", wrong)
    op("layer", skewed(1, 100))  # the wrong batch does not count
    assert factors(path, "layer")[0] < 1


@pytest.mark.parametrize("algorithm", ["ifmr", "hfmg"])
@pytest.mark.parametrize("granularity", [0, 1])
def test_s5_18_zeros_have_the_scale_one(path: Path, algorithm: str, granularity: int):
    params = {"act_algo": algorithm, "quant_granularity": granularity}
    QuantCalibrationOp(path, params)("layer", torch.zeros(8, 4))
    assert set(factors(path, "layer")[0]) == {1}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_s5_18_every_floating_dtype_is_taken(path: Path, dtype: torch.dtype):
    x = skewed(0, 1000).to(torch.bfloat16).to(torch.float16)  # exact in all of them
    QuantCalibrationOp(path)("float32", x.float())
    QuantCalibrationOp(path)("other", x.to(dtype))
    record = amct.read(path)
    assert record["other"] == record["float32"]


def test_data_that_is_no_float_is_a_type_error(path: Path):
    with pytest.raises(TypeError, match=r"layer 'layer', batch 1: .*floating"):
        QuantCalibrationOp(path)("layer", torch.ones(3, dtype=torch.int32))
    with pytest.raises(TypeError, match="`calibrated_layer_name` must be a string"):
        QuantCalibrationOp(path)(3, torch.ones(3))
    with pytest.raises(TypeError, match=r"layer 'layer', batch 1: .* be a tensor"):
        QuantCalibrationOp(path)("layer", [1.0])


def test_channels_that_change_are_an_error(path: Path):
    op = QuantCalibrationOp(path, {"batch_num": 2, "quant_granularity": 1})
    op("layer", torch.ones(3, 4))
    with pytest.raises(QuantError, match=r"layer 'layer', batch 2: .*extents"):
        op("layer", torch.ones(3, 5))


def test_no_data_is_an_error_that_names_the_layer(path: Path):
    op = QuantCalibrationOp(path)
    with pytest.raises(NoDataError, match="layer 'layer'"):
        op("layer", torch.ones(0, 4))
    assert not path.exists()
    op("layer", torch.tensor(3.0))  # 0-d is one value
    assert factors(path, "layer")[0] > 0


def test_memory_does_not_grow_with_batches(path: Path):
    op = QuantCalibrationOp(path, {"batch_num": 100})
    sizes = set()
    for seed in range(5):
        op("layer", skewed(seed, 10_000))
        sizes.add(op._collected["layer"].counts.nbytes)
    assert len(sizes) == 1


def test_memory_is_freed_when_factors_are_written(path: Path):
    op = QuantCalibrationOp(path, {"batch_num": 2})
    for seed in range(2):
        op("layer", skewed(seed, 100))
    assert op._collected == {}


def test_a_folder_is_made(tmp_path: Path):
    path = tmp_path / "a" / "b" / "record.txt"
    QuantCalibrationOp(str(path))("layer", torch.ones(3))
    assert list(amct.read(path)) == ["layer"]


def test_a_copy_goes_on_by_itself(path: Path):
    op = QuantCalibrationOp(path, {"batch_num": 2})
    op("layer", skewed(0, 100))
    for other in (copy.deepcopy(op), pickle.loads(pickle.dumps(op))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the second one overwrites
            other("layer", skewed(1, 100))
    assert op.cur_batch == {"layer": 1}
    assert factors(path, "layer")[0] > 0


@pytest.mark.slow  # imports the compiler
def test_a_calibrated_layer_compiles_without_graph_breaks(path: Path):
    op = QuantCalibrationOp(path)
    op("layer", torch.ones(3))
    compiled = torch.compile(
        lambda x: op("layer", 2 * x), backend="eager", fullgraph=True
    )
    assert compiled(torch.ones(3)).tolist() == [2, 2, 2]


def test_the_class_is_where_amct_has_it():
    assert quant_calibration_op.QuantCalibrationOp is QuantCalibrationOp
