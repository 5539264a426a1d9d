"""Exports of many formats, and what is refused."""

import io

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch.onnx import export as imported_export

from qcore.adapters import packages
from qcore.adapters.torch.nn.modules.quant_linear import QuantLinear
from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.onnx.export import enable_onnx_export, export_onnx
from qcore.errors import NoDataError, QuantError
from tests.adapters.torch.onnx_networks import (
    EXPORTERS_WARN,
    D,
    network,
    picture,
    row,
    small,
)
from tests.adapters.torch.onnx_runs import (
    calibrate,
    codes,
    constant,
    exported,
    grids,
    nodes,
    run,
)

pytestmark = EXPORTERS_WARN


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Return a model of many formats, and a file of its codes."""
    descriptors = [
        {"num_bits": 4, "block_sizes": {1: 4}},
        {"num_bits": 4, "unsigned": True, "symmetric": False},
        {"num_bits": (4, 3)},
        {"amax": 0.05, "narrow_range": True},
        {
            "axis": 0,
            "amax": [[0.1], [0.2], [0.3], [0.1], [0.2], [0.3]],
            "learn_scale": 1,
        },
        {"amax": 0.3, "learn_amax": True},
    ]
    torch.manual_seed(0)
    layers = [QuantLinear(6, 6, quant_desc_weight=D(**given)) for given in descriptors]
    model = calibrate(nn.Sequential(*layers), row())
    with torch.no_grad():
        model[4].weight_quantizer.learned_scale.mul_(-1.5)
    model[5].weight_quantizer.enable_clip()
    path = tmp_path_factory.mktemp("exported") / "mixed.onnx"
    shapes = ({0: torch.export.Dim("batch")},)
    names = {"input_names": ["x"], "output_names": ["y"]}
    export_onnx(model, row(), path, weights="codes", dynamic_shapes=shapes, **names)
    return model, onnx.load(path)


def test_codes_of_many_formats_give_the_same_outputs_for_any_batch(mixed):
    model, file = mixed
    batch = torch.cat([row(), row() * 0.3, row()])
    (got,) = run(file, batch)
    np.testing.assert_allclose(got, model(batch).detach(), atol=1e-5)


def test_weights_of_many_formats_are_stored_as_codes(mixed):
    _, file = mixed
    stored = [t for t in file.graph.initializer if t.name.endswith("_quantized")]
    names = [onnx.TensorProto.DataType.Name(t.data_type) for t in stored]
    assert sorted(names) == ["FLOAT8E4M3FN", "INT4", "INT8", "INT8", "INT8", "UINT4"]
    assert len(nodes(file)) == 6  # the inputs


def test_names_of_inputs_and_outputs_are_those_asked_for(mixed):
    _, file = mixed
    assert [x.name for x in file.graph.input] == ["x"]
    assert [x.name for x in file.graph.output] == ["y"]


def test_a_learned_scale_is_exported_by_both_exporters_as_it_is(mixed, tmp_path):
    model, file = mixed
    expected = model[4].weight_quantizer.learned_scale.detach().abs().flatten()
    written = [
        constant(file, node.input[1]).tolist()
        for node in nodes(file, "DequantizeLinear")
    ]
    assert expected.tolist() in written
    export_onnx(model[4:], row(), tmp_path / "m.onnx", verify=True, dynamo=False)
    older = grids(onnx.load(tmp_path / "m.onnx"))
    assert older[1][1] == expected.tolist()
    assert older[3][1] == float(np.float32(0.3) / np.float32(127))  # a learned range


def test_a_narrow_weight_beyond_its_range_is_clipped(tmp_path):
    model = calibrate(small(narrow_range=True, amax=0.05), row())
    export_onnx(model, row(), tmp_path / "model.onnx", dynamo=False)
    written = onnx.load(tmp_path / "model.onnx")
    assert codes(written, row())[1].min() == -127
    np.testing.assert_allclose(run(written, row())[0], model(row()).detach(), atol=1e-6)


def test_a_half_model_gives_the_outputs_of_torch(tmp_path):
    model = calibrate(small().half(), row().half())
    export_onnx(model, row().half(), tmp_path / "model.onnx", dynamo=False)
    (got,) = run(onnx.load(tmp_path / "model.onnx"), row().half())
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, model(row().half()).detach(), atol=2e-3)


def test_s3_12_an_error_names_every_quantizer_that_is_not_calibrated(tmp_path):
    model = network()
    model[2].input_quantizer.disable()
    calibrate(model[0], picture())
    said = (
        "not so are 3._input_quantizer, 3._weight_quantizer, 5._input_quantizer, 5._w"
    )
    with pytest.raises(NoDataError, match=said) as caught:
        export_onnx(model, picture(), tmp_path / "model.onnx")
    assert isinstance(caught.value, RuntimeError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dynamo", [True, False])
def test_s3_17_the_plain_exporter_names_every_quantizer_too(dynamo):
    said = "0._input_quantizer, 0._weight_quantizer"
    with pytest.raises(NoDataError, match=said):
        exported(small(), row(), dynamo=dynamo)


def test_s3_17_an_exporter_imported_by_name_refuses_as_well():
    with (
        pytest.raises(RuntimeError, match="every quantizer must be calibrated"),
        enable_onnx_export(),
    ):
        imported_export(small().eval(), (row(),), io.BytesIO(), dynamo=False)


def test_an_exporter_imported_by_name_refuses_a_learned_range():
    model = calibrate(small(learn_amax=True, amax=0.3), row())
    with (
        pytest.raises(RuntimeError, match="a learned range must be frozen"),
        enable_onnx_export(),
    ):
        imported_export(model, (row(),), io.BytesIO(), dynamo=False)


def test_a_range_of_nan_is_not_calibrated(caplog):
    model = small()
    model[0].input_quantizer.load_calib_amax(strict=False)
    model[0].weight_quantizer.disable()
    with pytest.raises(NoDataError, match=r"not so are 0\._input_quantizer\.$"):
        exported(model, row(), dynamo=False)
    assert "amax is NaN" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda q: q.enable_calib(), "call `disable_calib` of 0._input_quantizer"),
        (
            lambda q: setattr(q, "_desc", D(fake_quant=False, amax=1.0)),
            "it is false of 0._input_quantizer",
        ),
    ],
)
def test_quantizers_that_do_not_fake_quantize_are_named(change, said):
    model = calibrate(small(), row())
    change(model[0].input_quantizer)
    with pytest.raises(QuantError, match=said):
        exported(model, row(), dynamo=False)


def test_q11_the_switch_is_restored_after_an_error():
    before = torch.onnx.export
    with pytest.raises(KeyError), enable_onnx_export():
        raise KeyError
    assert not TensorQuantizer._enable_onnx_export
    assert torch.onnx.export is before


def test_blocks_may_be_nested():
    before = torch.onnx.export
    with enable_onnx_export():
        inside = torch.onnx.export
        with enable_onnx_export():
            assert torch.onnx.export is inside
        assert torch.onnx.export is inside
        assert TensorQuantizer._enable_onnx_export
    assert torch.onnx.export is before


def test_a_model_is_left_as_it_was(tmp_path):
    model = calibrate(small(), row())
    model.train()
    model[0].input_quantizer.eval()
    keys, modules = list(model.state_dict()), list(model.modules())
    export_onnx(model, row(), tmp_path / "model.onnx", dynamo=False)
    assert [m.training for m in modules] == [True, True, False, True]
    assert list(model.modules()) == modules
    assert list(model.state_dict()) == keys


def test_a_model_is_left_as_it_was_after_an_error(tmp_path):
    model = calibrate(small(), row()).train()
    modules = list(model.modules())
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        export_onnx(model, row()[:, :5], tmp_path / "model.onnx", dynamo=False)
    assert list(model.modules()) == modules
    assert all(module.training for module in modules)
    assert list(tmp_path.iterdir()) == []


def test_verification_refuses_a_model_that_differs(tmp_path):
    class Random(nn.Module):
        def forward(self, x):
            calls.append(x)
            return x + 0.5 * len(calls)

    calls = []
    with pytest.raises(QuantError, match="must be that of PyTorch; they differ by"):
        export_onnx(Random(), row(), tmp_path / "m.onnx", dynamo=False, verify=True)
    assert list(tmp_path.iterdir()) == []


def test_verification_says_what_onnxruntime_cannot_run(tmp_path):
    model = calibrate(small().bfloat16(), row().bfloat16())
    path = tmp_path / "model.onnx"
    with pytest.raises(QuantError, match=r"`verify` must be false .* NOT_IMPLEMENTED"):
        export_onnx(model, row().bfloat16(), path, dynamo=False, verify=True)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_one_file_cannot_hold_go_to_a_second(tmp_path, monkeypatch):
    model = calibrate(small(), row())
    monkeypatch.setattr(onnx.checker, "MAXIMUM_PROTOBUF", 100)
    export_onnx(model, row(), tmp_path / "model.onnx", dynamo=False)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["model.onnx", "model.onnx.data"]
    (got,) = run(onnx.load(tmp_path / "model.onnx"), row())
    np.testing.assert_allclose(got, model(row()).detach(), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("model.onnx", {"weights": "int8"}, "`weights` must be 'float' or 'codes'"),
        ("none/model.onnx", {}, "`path` must lie in an existing folder"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, name, given, said):
    with pytest.raises(QuantError, match=said):
        export_onnx(small(), row(), tmp_path / name, **given)


def test_missing_packages_are_named_with_what_brings_them(tmp_path, monkeypatch):
    monkeypatch.setattr(
        packages,
        "find_spec",
        dict.fromkeys(["onnx", "onnx_ir", "onnxruntime"], "").get,
    )
    said = r'needs onnxscript: pip install "qcore-quant\[torch,onnx\]"'
    with pytest.raises(ModuleNotFoundError, match=said):
        export_onnx(small(), row(), tmp_path / "model.onnx")
    with pytest.raises(ModuleNotFoundError, match=said):
        exported(small(), row())


def test_s3_92_a_restored_state_dict_exports(tmp_path):
    torch.save(calibrate(small(), row()).state_dict(), tmp_path / "state.pt")
    model = small()
    model.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    export_onnx(model, row(), tmp_path / "model.onnx", dynamo=False, verify=True)
    assert len(nodes(onnx.load(tmp_path / "model.onnx"))) == 2


def test_s3_19_an_argument_of_old_exporters_is_ignored():
    model = calibrate(small(), row())
    proto = exported(model, row(), dynamo=False, enable_onnx_checker=False)
    assert len(nodes(proto)) == 2
