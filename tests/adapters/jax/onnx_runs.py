"""ONNX Runtime on exported functions: what is written, computed node by node."""

from dataclasses import replace

import jax
import numpy as np
import onnx
import onnxruntime

import qcore
from qcore.adapters.jax import Config
from qcore.adapters.jax.onnx.model import onnx_model
from qcore.adapters.jax.plans import by_index
from qcore.adapters.jax.program import traced
from qcore.adapters.jax.rounding import Rounding
from qcore.adapters.jax.sites import sites_of

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


class Recording(Rounding):
    """Rounds, and leaves behind what it rounds."""

    def visit(self, index, equation, inputs, state):
        outputs, _ = super().visit(index, equation, inputs, state)
        seen = {p.site.name: inputs[p.site.operand] for p in self.plans[index]}
        return outputs, {**state, **seen}


def operands(f, config, qparams, *args):
    """Return what JAX quantizes and how, by site, and the result."""
    call = traced(f, config.weights, args, {})
    plans = by_index(config.plans(sites_of(call.closed, call.is_weight)))

    def run(*leaves):
        visitor = Recording(plans, qparams, False)
        whole = replace(call, leaves=list(leaves))
        return whole.run("fake_quant", frozenset(plans), visitor, {})

    out, seen = jax.jit(run)(*call.leaves)
    specs = {plan.site.name: plan.spec for each in plans.values() for plan in each}
    chosen = {
        name: qparams.get(name) or qcore.qparams_from_data(seen[name], spec)
        for name, spec in specs.items()
    }
    return {name: (seen[name], chosen[name]) for name in specs}, out


def as_numpy(qparams):
    """Return qparams in arrays of numpy."""
    return qcore.QParams(
        np.asarray(qparams.scale), np.asarray(qparams.zero_point), qparams.spec
    )


def codes(model, *arrays):
    """Return the codes of each site and, of those quantized by a node, the operand."""
    pairs = nodes(model, "QuantizeLinear")
    names = [name for node in pairs for name in (node.input[0], node.output[0])]
    found = run(with_outputs(model, names), *arrays)
    return {
        node.output[0].removesuffix("_quantized"): pair
        for node, *pair in zip(pairs, found[::2], found[1::2], strict=True)
    }
