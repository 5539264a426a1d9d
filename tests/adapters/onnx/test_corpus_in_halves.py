"""The corpus in 16-bit floats, as far as ONNX has its operators for them."""

from functools import cache

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from qcore.adapters import onnx as adapter
from qcore.adapters.onnx.running.float32_twin import float32_twin
from tests.adapters.onnx.corpus import CASES, model_of, samples_of
from tests.adapters.onnx.test_corpus import is_valid, run

KINDS = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}
OPSET = 22
"""The first in which convolutions take bfloat16."""


@cache
def halved(name, kind):
    """Return a case in 16 bits; ``None`` if ONNX has no such model."""
    model = model_of(name)
    for imported in model.opset_import:
        if not imported.domain:
            imported.version = max(imported.version, OPSET)
    model.ir_version = 10
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor)
            values = array.ravel().tolist()
            half = helper.make_tensor(tensor.name, KINDS[kind], array.shape, values)
            tensor.CopyFrom(half)
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = KINDS[kind]
    return model if is_valid(model) else None


PAIRS = [
    (name, kind)
    for kind in KINDS
    for name, case in CASES.items()
    if not (case.refused or name.startswith("half")) and halved(name, kind) is not None
]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_quirk_in_16_bits_does_not_keep_a_model_from_being_quantized(name, kind):
    model = halved(name, kind)
    # onnxruntime has no kernels for bfloat16: a twin of it is fed.
    dtype = np.float16 if kind == "float16" else np.float32
    samples = [
        {k: x.astype(dtype) if x.dtype.kind == "f" else x for k, x in s.items()}
        for s in samples_of(name)
    ]
    quantized = adapter.quantize(model, samples, recover="none")
    onnx.checker.check_model(quantized, full_check=True)
    assert quantized.graph.output == model.graph.output
    twins = (ir.to_proto(float32_twin(ir.from_proto(m))) for m in (model, quantized))
    answers = (run(twin, samples) for twin in twins)
    for wanted, got in zip(*answers, strict=True):
        assert np.linalg.norm(wanted - got) < 0.05 * np.linalg.norm(wanted) + 1e-6
