"""Whatever a model looks like, it is quantized, valid, and close to what it was."""

import numpy as np
import onnx
import onnxruntime
import pytest

from qcore import QuantError
from qcore.adapters import onnx as adapter
from tests.adapters.onnx.corpus import CASES, model_of, samples_of

QUANTIZED = [name for name, case in CASES.items() if not case.refused]


def run(model, samples):
    """Return the outputs of all samples, each in one row."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warns of what the float models hold, too
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    found = [session.run(None, sample) for sample in samples]
    return [
        np.concatenate([np.ravel(x).astype(np.float64) for x in parts])
        for parts in zip(*found, strict=True)
    ]


def is_valid(model):
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
        return False
    return True


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_quirk_does_not_keep_a_model_from_being_quantized(name):
    model, samples = model_of(name), samples_of(name)
    quantized = adapter.quantize(model, samples)
    assert is_valid(quantized) >= is_valid(model)
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initializers]
    assert list(quantized.graph.input) == inputs
    assert quantized.graph.output == model.graph.output
    assert any(node.op_type == "QuantizeLinear" for node in quantized.graph.node)
    for wanted, got in zip(run(model, samples), run(quantized, samples), strict=True):
        assert np.linalg.norm(wanted - got) < 0.03 * np.linalg.norm(wanted) + 1e-6


@pytest.mark.parametrize("name", [name for name in CASES if name not in QUANTIZED])
def test_where_nothing_can_be_quantized_the_reason_is_said(name):
    with pytest.raises(QuantError, match=CASES[name].refused):
        adapter.quantize(model_of(name), samples_of(name))
