"""Which nodes become int8 is the user's choice, by name, operator or pattern."""

import numpy as np
import pytest

from qcore import QuantError
from qcore.adapters.onnx import plan

BODY = """{
    [stem] a = Conv(x, w)  [sum] s = Add(a, a)  [body] b = Conv(s, w)
    [head_one] c = MatMul(b, m)  [head_two] y = MatMul(c, m)
}"""


@pytest.fixture
def net(build):
    constants = {"w": np.ones((4, 4, 1, 1), "f4"), "m": np.ones((8, 8), "f4")}
    return build("float[1, 4, 8, 8] x", "float[1, 4, 8, 8] y", BODY, **constants)


@pytest.mark.parametrize(
    ("choice", "computing"),
    [
        ({"include": ["stem"]}, "stem"),
        ({"include": ["head_*", "stem"]}, "stem head_one head_two"),
        ({"include": ["MatMul"]}, "head_one head_two"),
        (
            {"include": ["Conv", "MatMul"], "exclude": ["body"]},
            "stem head_one head_two",
        ),
        ({"exclude": ["Conv"]}, "head_one head_two"),
        ({"exclude": ["head_one"]}, "stem body head_two"),
        ({"exclude": ["head*"], "op_types": ["MatMul", "Conv"]}, "stem body"),
    ],
)
def test_products_are_chosen_by_name_operator_or_pattern(net, choice, computing):
    assert plan(net, **choice).compute == tuple(computing.split())


def test_the_reason_tells_what_is_not_included_from_what_is_excluded(net):
    kept = plan(net, include=["Conv"], exclude=["stem"]).kept_float
    assert [(k.node, k.reason) for k in kept] == [
        ("stem", "it is excluded"),
        ("head_one", "it is not included"),
        ("head_two", "it is not included"),
    ]


@pytest.mark.parametrize("target", ["onnxruntime", "openvino"])
def test_an_operator_between_products_can_be_excluded_too(net, target):
    assert plan(net, target=target).carriers == ("sum",)
    planned = plan(net, target=target, exclude=["sum"])
    assert planned.carriers == ()
    assert planned.compute == ("stem", "body", "head_one", "head_two")


def test_a_name_with_brackets_is_no_pattern(net):
    net.graph.node[0].name = "layers[0]"
    assert "layers[0]" not in plan(net, exclude=["layers[0]"]).compute


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"include": ["sum"]}, "`include` must name a Conv or Gemm or MatMul"),
        ({"include": ["stam"]}, "got 'stam': did you mean 'stem'"),
        ({"exclude": ["tail*"]}, "`exclude` must name a node of the model; got 'tail*"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(net, choice, said):
    with pytest.raises(QuantError, match=said.replace("*", r"\*")):
        plan(net, **choice)


@pytest.mark.parametrize("argument", ["op_types", "include", "exclude"])
@pytest.mark.parametrize("given", ["Conv", 3, [3], iter(["Conv"])])
def test_what_is_no_list_of_names_is_refused(net, argument, given):
    with pytest.raises(TypeError, match=f"`{argument}` must be a list of names; got"):
        plan(net, **{argument: given})


@pytest.mark.parametrize("argument", ["include", "exclude"])
def test_no_choice_of_nodes_is_an_empty_list(net, argument):
    with pytest.raises(TypeError, match=f"`{argument}` must be a list .*; got None"):
        plan(net, **{argument: None})
