"""Where codes go, on graphs of a few nodes."""

import numpy as np
import pytest

from qcore import Histogram, QuantError
from qcore.adapters.onnx import Plan, plan

IMAGE = "float[1, 4, 8, 8] {}"


@pytest.fixture
def place(build):
    """Plan a graph of 8 by 8 images, whose constants w, b and m it may use."""

    def place(body: str, outputs: str = "y", **options) -> Plan:
        constants = {
            "w": np.ones((4, 4, 1, 1), np.float32),
            "b": np.ones(4, np.float32),
            "m": np.ones((8, 8), np.float32),
        }
        shapes = ", ".join(f"float[A, B, C, D] {name}" for name in outputs.split())
        used = {
            k: v for k, v in constants.items() if f"{k})" in body or f"{k}," in body
        }
        model = build(IMAGE.format("x"), shapes, body, **used)
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        return plan(model, **options)

    return place


def test_a_tensor_with_several_users_is_quantized_once(place):
    planned = place("""{
        [one] a = Conv(x, w)  [two] c = Conv(x, w)
        d = Add(a, c)  [last] y = MatMul(d, m)
    }""")
    assert planned.compute == ("one", "two", "last")
    assert list(planned.tensors) == ["x", "a", "c", "d"]
    assert planned.kept_float == ()


@pytest.mark.parametrize("clamp", ["Relu(a)", "Clip(a)"])
def test_a_clamp_behind_a_conv_is_merged_with_it(place, clamp):
    planned = place(f"{{ a = Conv(x, w)  [clamp] c = {clamp}  y = MatMul(c, m) }}")
    assert list(planned.tensors) == ["x", "c"]
    assert planned.carriers == ("clamp",)


def test_a_clamp_beside_other_users_is_not_merged(place):
    planned = place("""{
        a = Conv(x, w)  c = Relu(a)  d = Add(a, c)  y = MatMul(d, m)
    }""")
    assert list(planned.tensors) == ["x", "a", "c", "d"]


def test_a_clamp_behind_a_sum_is_merged_with_it(place):
    planned = place("""{
        a = Conv(x, w)  c = Conv(x, w)  s = Add(a, c)  r = Relu(s)  y = MatMul(r, m)
    }""")
    assert list(planned.tensors) == ["x", "a", "c", "r"]


def test_tensors_that_are_moved_share_the_range_of_their_source(place):
    planned = place("""{
        a = Conv(x, w)  p = MaxPool<kernel_shape = [1, 1]>(a)
        t = Transpose<perm = [0, 1, 3, 2]>(p)  y = MatMul(t, m)
    }""")
    assert planned.tensors == {"x": ("x",), "a": ("a",), "p": ("a",), "t": ("a",)}
    assert planned.sources == ("x", "a")


def test_joined_tensors_share_the_range_of_all(place):
    planned = place("""{
        a = Conv(x, w)  c = Relu(a)  d = Conv(x, w)
        j = Concat<axis = 1>(c, d)  y = MatMul(j, m)
    }""")
    assert planned.tensors["j"] == planned.tensors["c"] == planned.tensors["d"]
    assert planned.tensors["j"] == ("c", "d")


def test_an_average_has_a_range_of_its_own(place):
    planned = place("""{
        a = Conv(x, w)  p = AveragePool<kernel_shape = [1, 1]>(a)  y = MatMul(p, m)
    }""")
    assert planned.tensors["p"] == ("p",)


def test_a_sum_with_a_float_stays_float(place):
    planned = place("""{
        a = Conv(x, w)  s = Tanh(x)  d = Add(a, s)  y = MatMul(d, m)
    }""")
    assert planned.carriers == ()
    assert list(planned.tensors) == ["x", "a", "d"]


def test_operators_that_lead_to_no_product_stay_float(place):
    planned = place("""{
        a = Conv(x, w)  p = MaxPool<kernel_shape = [1, 1]>(a)  q = Relu(p)
        c = MatMul(a, m)  y = Add(q, c)
    }""")
    assert planned.carriers == ()


def test_the_result_of_a_product_is_float_where_no_product_reads_it(place):
    planned = place("{ [one] a = MatMul(x, m)  y = Softmax(a) }")
    assert list(planned.tensors) == ["x"]


def test_both_operands_of_a_product_of_activations_are_quantized(place):
    planned = place("{ s = Softmax(x)  [product] y = MatMul(s, x) }")
    assert planned.compute == ("product",)
    assert list(planned.tensors) == ["x", "s"]


IN_A_ROW = "{ [one] a = Conv(x, w)  r = Relu(a)  [two] y = Conv(r, w) }"


def test_the_last_conv_answers_in_codes_where_it_is_recovered(place):
    planned = place(IN_A_ROW)
    assert planned.compute == ("one", "two")
    assert list(planned.tensors) == ["x", "r", "y"]


def test_the_last_conv_answers_in_codes_where_it_is_named(place):
    assert place(IN_A_ROW, recover="none", include=["two"]).compute == ("two",)


def test_the_last_conv_stays_float_where_it_is_not_recovered(place):
    planned = place(IN_A_ROW, recover="none")
    assert planned.compute == ("one",)
    assert list(planned.tensors) == ["x", "r"]
    assert [str(kept) for kept in planned.kept_float] == [
        "Conv 'two' stays float: "
        "it answers in floats, for which onnxruntime has no integer Conv."
    ]


def test_a_conv_whose_result_is_an_output_stays_float_then_too(place):
    body = "{ [one] a = Conv(x, w)  [two] y = MatMul(a, m) }"
    planned = place(body, "a y", recover="none")
    assert planned.compute == ("two",)
    assert list(planned.tensors) == ["a"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{ c = Conv(w, x)  y = MatMul(c, m) }", "its input is a constant"),
        (
            "{ [up] y = ConvTranspose(x, w) }",
            "onnxruntime has no integer kernel for it",
        ),
        ("{ d = Cast<to = 11>(x)  y = MatMul(d, d) }", "its inputs are double"),
    ],
)
def test_what_stays_float_is_listed_with_the_reason(place, body, reason):
    kept = place(body).kept_float[0]
    assert kept.reason == reason


@pytest.mark.parametrize(
    ("gemm", "reason"),
    [
        ("Gemm<alpha = 0.5>(x, x, b)", "its alpha or beta is not 1"),
        ("Gemm(x, k, x)", "its bias is not a constant with one value for each output"),
        ("Gemm(x, x, x)", "its bias is not a constant with one value for each output"),
    ],
)
def test_a_gemm_onnxruntime_has_no_kernel_for_stays_float(build, gemm, reason):
    k, b = np.ones((4, 4), np.float32), np.ones(4, np.float32)
    used = {name: a for name, a in {"k": k, "b": b}.items() if f" {name}" in gemm}
    model = build("float[4, 4] x", "float[4, 4] y", f"{{ y = {gemm} }}", **used)
    assert plan(model).kept_float[0].reason.startswith(reason)


def test_products_where_no_range_can_be_seen_stay_float(build):
    body = """{ s = SequenceConstruct(x, x)
        r = SequenceMap(s) <body = each (float[4, 4] p) => (float[4, 4] q)
            { [inner] q = MatMul(p, p) }>
        y = ConcatFromSequence<axis = 0>(r) }"""
    model = build("float[4, 4] x", "float[8, 4] y", body)
    (kept,) = plan(model).kept_float
    assert kept.node == "inner"
    assert kept.reason == "'p' lies inside SequenceMap, where no range is seen"


TWO = "{ [head_one] a = MatMul(x, m)  [head_two] y = MatMul(a, m) }"


def test_nodes_can_be_excluded_by_name_and_by_pattern(place):
    assert place(TWO, exclude=["head_one"]).compute == ("head_two",)
    planned = place(TWO, exclude=["head_*"])
    assert [kept.reason for kept in planned.kept_float] == ["it is excluded"] * 2


def test_a_name_to_exclude_that_is_none_of_the_model_is_refused(place):
    with pytest.raises(QuantError, match="got 'head_on': did you mean 'head_one'"):
        place(TWO, exclude=["head_on"])


def test_operators_can_be_chosen(place):
    planned = place(TWO, op_types=["Conv", "Gemm"])
    assert planned.compute == ()
    assert planned.kept_float[0].reason == "its operator was not chosen"


def test_a_matmul_with_a_bias_counts_as_what_it_was_written_as(build):
    k, b = np.ones((4, 4), np.float32), np.ones(4, np.float32)
    body = "{ [product] p = MatMul(x, k)  y = Add(p, b) }"
    model = build("float[N, 4] x", "float[N, 4] y", body, k=k, b=b)
    assert plan(model, op_types=["MatMul"]).compute == ("product",)
    assert plan(model, op_types=["Gemm"]).kept_float[0].op_type == "MatMul"


def test_an_operator_that_is_never_quantized_cannot_be_chosen(place):
    with pytest.raises(QuantError, match=r"among Conv, .*, RNN; got 'Softmax'"):
        place(TWO, op_types=["Softmax"])


def test_what_was_not_calibrated_stays_float(place):
    seen = Histogram.of(np.ones(3, np.float32))
    planned = place(TWO, statistics={"a": seen})
    assert planned.compute == ("head_two",)
    assert planned.kept_float[0].reason == "'x' was not calibrated"


def test_statistics_of_a_source_serve_where_its_values_were_moved(place):
    body = "{ t = Transpose<perm = [0, 1, 3, 2]>(x)  [product] y = MatMul(t, m) }"
    seen = Histogram.of(np.ones(3, np.float32))
    assert place(body, statistics={"x": seen}).compute == ("product",)


def test_everything_is_named_after_the_given_model(net):
    planned = plan(net)
    assert planned.compute == ("conv1", "conv2", "gemm")
    assert planned.carriers == ("relu1", "pool", "add", "relu2", "mean", "flatten")
    assert planned.tensors == {
        "x": ("x",),
        "r": ("r",),
        "p": ("r",),
        "d": ("d",),
        "t": ("t",),
        "m": ("m",),
        "f": ("m",),
    }


def test_what_turns_codes_into_floats_between_products_is_told(place):
    planned = place("""{
        a = Conv(x, w)  [curve] t = Tanh(a)  [sum] s = Add(t, x)  c = Conv(s, w)
        [up] u = ConvTranspose(c, w)  y = MatMul(u, m)
    }""")
    assert [str(kept) for kept in planned.kept_float] == [
        "ConvTranspose 'up' stays float: onnxruntime has no integer kernel for it.",
        "Add 'sum' stays float: not all that it reads is in codes.",
    ]


def test_an_operator_without_a_kernel_is_told_from_one_that_is_excluded(place):
    body = "{ a = Conv(x, w)  [curve] t = Tanh(a)  c = Conv(t, w)  y = MatMul(c, m) }"
    kept = "Tanh 'curve' stays float: "
    (no_kernel,), (excluded,) = (
        place(body, exclude=names).kept_float for names in ([], ["curve"])
    )
    assert str(no_kernel) == f"{kept}onnxruntime has no integer kernel for it."
    assert str(excluded) == f"{kept}it is excluded."
