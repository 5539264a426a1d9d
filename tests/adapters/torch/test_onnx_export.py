"""Exported networks compute in ONNX Runtime what they do in PyTorch."""

from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore.adapters.torch.nn.modules.tensor_quantizer import TensorQuantizer
from qcore.adapters.torch.onnx.export import export_onnx
from qcore.adapters.torch.operators.fake_quantize import quantize
from tests.adapters.torch.onnx_networks import EXPORTERS_WARN, network, picture
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
def files(tmp_path_factory):
    """Return the model, and what each way to export it writes."""
    folder = tmp_path_factory.mktemp("exported")
    model = calibrate(network(), picture())
    path = folder / "model.onnx"
    export_onnx(model, picture(), path, verify=True)
    export_onnx(model, picture(), folder / "older.onnx", dynamo=False)
    export_onnx(model, picture(), folder / "codes.onnx", dynamo=False, weights="codes")
    return SimpleNamespace(
        model=model,
        file=onnx.load(path),
        older=onnx.load(folder / "older.onnx"),
        codes=onnx.load(folder / "codes.onnx"),
        plain=exported(model, picture()),
        folder=folder,
    )


def test_s3_15_onnxruntime_gives_the_outputs_of_torch(files):
    (got,) = run(files.file, picture())
    np.testing.assert_allclose(got, files.model(picture()).detach(), atol=1e-5)


def test_s3_15_every_code_is_that_of_torch(files):
    expected = []
    for quantizer in files.model.modules():
        if isinstance(quantizer, TensorQuantizer):
            quantizer.register_forward_pre_hook(
                lambda quantizer, args: expected.append(
                    quantize(args[0], quantizer.qparams())
                ),
                prepend=True,
            )
    files.model(picture())
    found = codes(files.file, picture())
    assert len(found) == len(expected) == 7
    for got, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_s3_18_the_plain_exporter_writes_the_same_graph(files):
    kinds = [[node.op_type for node in m.graph.node] for m in (files.plain, files.file)]
    assert kinds[0] == kinds[1]
    assert grids(files.plain) == grids(files.file)


def test_no_two_weights_share_a_zero_point(files):
    weights = [n for n in nodes(files.file) if n.input[0].endswith("weight")]
    zero_points = [node.input[2] for node in weights]
    assert len(set(zero_points)) == len(weights) == 3


def test_onnxruntime_takes_the_file_for_its_exact_kernels(files):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(
        files.file.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (name,) = [taken.name for taken in session.get_inputs()]
    (got,) = session.run(None, {name: picture().numpy()})
    np.testing.assert_allclose(got, files.model(picture()).detach(), atol=0.05)


def test_both_exporters_write_the_same_operators_scales_and_zero_points(files):
    assert len(grids(files.file)) == 7
    assert grids(files.older) == grids(files.file)


def test_no_node_lies_between_weights_and_their_quantization(files):
    weights = {name for name, _ in files.model.named_parameters()}
    quantized = {node.input[0] for node in nodes(files.file)}
    assert {name for name in weights if name.endswith("weight")} <= quantized


def test_weights_can_be_stored_as_codes(files):
    (got,) = run(files.codes, picture())
    np.testing.assert_allclose(got, files.model(picture()).detach(), atol=1e-5)
    assert len(nodes(files.codes)) == 4  # the inputs
    kinds = [
        t.data_type
        for t in files.codes.graph.initializer
        if t.name[-10:] == "_quantized"
    ]
    assert kinds == [onnx.TensorProto.INT8] * 3


def test_stored_codes_are_those_of_torch(files):
    weight, quantizer = files.model[5].weight, files.model[5].weight_quantizer
    stored = constant(files.codes, "5.weight_quantized")
    np.testing.assert_array_equal(stored, quantize(weight, quantizer.qparams()))
