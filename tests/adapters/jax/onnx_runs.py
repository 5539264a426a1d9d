"""ONNX Runtime on exported functions: what is written, computed node by node."""

import jax
import numpy as np
import onnx
import onnxruntime
import pytest

import qcore
from qcore.adapters.jax import Config, fake_quant, rounding, sites
from qcore.adapters.jax.onnx.export import onnx_model

FLOAT = [{"site": "*", "skip": True}]
"""Rules that quantize nothing."""


def run(model, *arrays):
    """Return the outputs, nothing merged or folded."""
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [taken.name for taken in session.get_inputs()]
    feeds = dict(zip(names, map(np.asarray, arrays), strict=True))
    return session.run(None, feeds)


def with_outputs(model, names):
    """Return a model that gives values by name, and nothing else."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return copy


def exported_float(f, *args, **options):
    """Return the model of a function whose arguments all are inputs, as floats."""
    rules = FLOAT if has_sites(f, args) else ()
    return onnx_model(f, {}, args, Config(rules, weights=None), **options)


def has_sites(f, args):
    return any(
        name in str(jax.make_jaxpr(f)(*args))
        for name in ("dot_general", "conv_general")
    )


def nodes(model, kind):
    return [node for node in model.graph.node if node.op_type == kind]


def operands(f, config, qparams, *args):
    """Return what JAX quantizes and how, by site, and the result."""
    seen = {}

    def recorded(x, qparams):
        seen[next(names)] = x, qparams
        return qcore.fake_quantize(x, qparams)

    found = sites(f, weights=config.weights)(*args)
    names = iter([plan.site.name for plan in config.plans(found)])
    with pytest.MonkeyPatch.context() as patch, jax.disable_jit():
        patch.setattr(rounding, "fake_quantize", recorded)
        out = fake_quant(f, config, qparams)(*args)
    return seen, out


def codes(model, *arrays):
    """Return the codes of each site and, of those quantized by a node, the operand."""
    pairs = nodes(model, "QuantizeLinear")
    names = [name for node in pairs for name in (node.input[0], node.output[0])]
    found = run(with_outputs(model, names), *arrays)
    return {
        node.output[0].removesuffix("_quantized"): pair
        for node, *pair in zip(pairs, found[::2], found[1::2], strict=True)
    }
