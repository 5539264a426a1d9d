"""Write a model in codes, given the scales of its activations."""

from dataclasses import replace

from qcore import QParams
from qcore.adapters.onnx.files.model_file import to_proto
from qcore.adapters.onnx.passes.clean import clean
from qcore.adapters.onnx.passes.encode_constants import encode_constants
from qcore.adapters.onnx.passes.skip_recoding import skip_recoding
from qcore.adapters.onnx.ranges import activation_mean_ratios
from qcore.adapters.onnx.rewriting import in_codes
from qcore.adapters.onnx.weights import OUTPUT, WeightSpec, WeightSpecs
from qcore.adapters.ppq.config import TensorQuantizationConfig
from qcore.adapters.ppq.graph import QuantizedGraph
from qcore.adapters.ppq.parameters import parameters, scales_read
from qcore.adapters.ppq.states import QuantizationStates
from qcore.errors import QuantError


def write_codes(graph: QuantizedGraph, /) -> None:
    """
    Have a graph hold its model in codes, and the scales of all parameters.

    Parameters
    ----------
    graph : QuantizedGraph
        The activations of which have scales. Biases that are FP32 stay floats.

    Raises
    ------
    QuantError
        If a parameter cannot have the spec, state, method or detail that it has.
    """
    found = list(parameters(graph.float_model.graph, graph.plan))
    configs = [graph.tensors[str(p.value.name)] for p in found]
    weights: dict[str, WeightSpec] = {}
    of_node: dict[str, str] = {}
    for parameter, config in zip(found, configs, strict=True):
        if config.role == "weight":
            weights[config.name] = _weight_spec(graph, config)
            of_node[parameter.node] = config.name
        else:
            _check_bias(config)
            own = of_node[parameter.node]
            has_codes = config.state is not QuantizationStates.FP32
            weights[own] = replace(weights[own], bias_codes=has_codes)
    float_graph, plan = graph.float_model.graph, graph.plan
    model = in_codes(
        graph.float_model.clone(),
        plan,
        graph.request.formats.target,
        qparams={name: _qparams(graph.tensors[name]) for name in plan.tensors},
        ratios=activation_mean_ratios(float_graph, plan.tensors, graph.statistics),
        weights=WeightSpecs(graph.request.weights, weights),
    )
    nodes = {str(node.name): node for node in model.graph.all_nodes()}
    # In reverse, for the first use of a constant that several nodes share to be told.
    for parameter, config in reversed([*zip(found, configs, strict=True)]):
        config.qparams = scales_read(nodes[parameter.node], parameter)
        if config.role == "weight" and isinstance(config.qparams, QParams):
            config.spec = config.qparams.spec
    graph.hold(to_proto(clean(skip_recoding(encode_constants(model)))))


def _qparams(config: TensorQuantizationConfig) -> QParams:
    found = config.dominated_by.qparams
    assert isinstance(found, QParams)  # the order of passes is checked
    return found


def _check_bias(config: TensorQuantizationConfig) -> None:
    if config.spec is not None:
        raise QuantError(
            f"the spec of {config.name!r} must be None: a bias has 32-bit codes about "
            f"0; got {config.spec}."
        )


def _weight_spec(graph: QuantizedGraph, config: TensorQuantizationConfig) -> WeightSpec:
    """Return how a weight is to be quantized."""
    if config.state is QuantizationStates.FP32:
        raise QuantError(
            f"{config.name!r} must not be FP32 where its input has codes; exclude the "
            "operator, or set the state of its input."
        )
    default = graph.request.weights
    if config.observer_algorithm == OUTPUT:
        return replace(default, method=OUTPUT)
    options, of_statistics = config.details
    if of_statistics:
        raise QuantError(
            f"`detail` of {config.name!r} must hold options of its method alone: "
            f"statistics of weights have none; got {', '.join(of_statistics)}."
        )
    spec = replace(default, method=config.observer_algorithm, options=options)
    spec.check()
    return spec
