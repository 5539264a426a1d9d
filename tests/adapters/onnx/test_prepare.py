import numpy as np
import onnx
import onnx_ir as ir
import pytest

from qcore import QuantError
from qcore.adapters.onnx.prepare import prepare


def operators(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def test_preparing_keeps_results_and_names(net, samples, run):
    prepared = ir.to_proto(prepare(net))
    assert [node.name for node in prepared.graph.node] == [
        node.name for node in net.graph.node
    ]
    np.testing.assert_array_equal(run(prepared, samples[0]), run(net, samples[0]))


def test_the_model_that_was_given_stays_as_it_was(net):
    before = net.SerializeToString()
    prepare(net)
    assert net.SerializeToString() == before


def test_old_opsets_are_raised(build):
    body = "{ y = Clip<min = 0.0, max = 6.0>(x) }"
    model = build("float[N, 2] x", "float[N, 2] y", body, opset=8)
    model.metadata_props.add(key="author", value="me")
    prepared = prepare(model)
    assert prepared.opset_imports[""] == 13
    assert prepared.metadata_props == {"author": "me"}
    onnx.checker.check_model(ir.to_proto(prepared))


def test_an_opset_that_cannot_be_raised_is_told(build):
    body = "{ y = LSTM<hidden_size = 2>(x, w, w) }"
    shapes = "float[1, 3, 2] x, float[1, 8, 2] w"
    model = build(shapes, "float[1, 1, 3, 2] y", body, opset=6)
    with pytest.raises(QuantError, match="it has opset 6 and onnx cannot raise it"):
        prepare(model)


def test_initializers_are_no_longer_inputs(net):
    net.graph.input.append(onnx.helper.make_tensor_value_info("b1", 1, [8]))
    assert [value.name for value in prepare(net).graph.inputs] == ["x"]


def test_a_weight_behind_other_operators_becomes_a_constant(build, run, rng):
    w = rng.normal(size=(1, 600, 500)).astype(np.float32)
    body = """{
        shape = Constant<value_ints = [500, 600]>()
        flat = Reshape(w, shape)
        matrix = Transpose<perm = [1, 0]>(flat)
        y = MatMul(x, matrix)
    }"""
    model = build("float[N, 600] x", "float[N, 500] y", body, w=w)
    prepared = prepare(model)
    x = {"x": rng.normal(size=(2, 600)).astype(np.float32)}
    assert operators(prepared) == ["MatMul"]
    np.testing.assert_array_equal(run(ir.to_proto(prepared), x), run(model, x))


@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (4, 1, 1), (1,), ()])
@pytest.mark.parametrize("bias", ["", ", b"])
def test_what_is_added_to_the_channels_of_a_conv_becomes_bias(
    build, run, rng, shape, bias
):
    w, b, added = (
        rng.normal(size=n).astype(np.float32) for n in [(4, 3, 3, 3), 4, shape]
    )
    body = f"{{ [conv] c = Conv(x, w{bias}) y = Add(added, c) }}"
    model = build(
        "float[1, 3, 5, 5] x", "float[1, 4, 3, 3] y", body, w=w, b=b, added=added
    )
    prepared = prepare(model)
    x = {"x": rng.normal(size=(1, 3, 5, 5)).astype(np.float32)}
    assert [(n.op_type, n.name, n.outputs[0].name) for n in prepared.graph] == [
        ("Conv", "conv", "y")
    ]
    np.testing.assert_allclose(
        run(ir.to_proto(prepared), x), run(model, x), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(3,), (1, 4, 1, 3), (1, 4, 3, 1)])
def test_what_differs_along_other_axes_stays_an_add(build, rng, shape):
    w, added = (rng.normal(size=n).astype(np.float32) for n in [(4, 3, 3, 3), shape])
    body = "{ c = Conv(x, w) y = Add(c, added) }"
    model = build("float[1, 3, 5, 5] x", "float[1, 4, 3, 3] y", body, w=w, added=added)
    assert operators(prepare(model)) == ["Conv", "Add"]


def test_a_product_that_others_use_keeps_its_add(build, rng):
    w = rng.normal(size=(4, 4)).astype(np.float32)
    body = "{ p = MatMul(x, w) a = Add(p, b) y = Mul(a, p) }"
    b = np.ones(4, np.float32)
    model = build("float[N, 4] x", "float[N, 4] y", body, w=w, b=b)
    assert operators(prepare(model)) == ["MatMul", "Add", "Mul"]


@pytest.mark.parametrize(("rank", "expected"), [(2, ["Gemm"]), (3, ["MatMul", "Add"])])
def test_the_product_of_matrices_plus_a_row_is_a_gemm(build, run, rng, rank, expected):
    w, b = (rng.normal(size=n).astype(np.float32) for n in [(4, 6), 6])
    shape = (2, 3, 4)[-rank:]
    body = "{ p = MatMul(x, w) y = Add(p, b) }"
    free = ", ".join("ABC"[:rank])
    model = build(f"float[{free}] x", f"float[{free}] y", body, w=w, b=b)
    model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value = 4
    prepared = prepare(model)
    x = {"x": rng.normal(size=shape).astype(np.float32)}
    assert operators(prepared) == expected
    np.testing.assert_allclose(
        run(ir.to_proto(prepared), x), run(model, x), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("product", "weight", "shape"),
    [("Conv(x, w, b)", (4, 3, 3, 3), "1, 3, 5, 5"), ("Gemm(x, w, b)", (3, 4), "2, 3")],
)
def test_batch_normalization_goes_into_the_weight(
    build, run, rng, product, weight, shape
):
    w = rng.normal(size=weight).astype(np.float32)
    b, scale, shift, mean = rng.normal(size=(4, 4)).astype(np.float32)
    var = rng.uniform(0.1, 2, 4).astype(np.float32)
    body = f"{{ p = {product} y = BatchNormalization(p, scale, shift, mean, var) }}"
    constants = {
        "w": w,
        "b": b,
        "scale": scale,
        "shift": shift,
        "mean": mean,
        "var": var,
    }
    model = build(f"float[{shape}] x", "float[A, B] y", body, **constants)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    model.graph.output[0].type.tensor_type.ClearField("shape")
    prepared = prepare(model)
    extents = [int(n) for n in shape.split(",")]
    x = {"x": rng.normal(size=extents).astype(np.float32)}
    assert operators(prepared) == [product[:4]]
    assert set(prepared.graph.initializers) == {"w_scaled", "w_bias"}
    np.testing.assert_allclose(
        run(ir.to_proto(prepared), x), run(model, x), rtol=1e-4, atol=1e-5
    )


def test_bounds_of_a_clip_become_scalars(build):
    one = np.ones(1, np.float32)
    body = "{ z = Clip(x, low, high) y = Clip(z, low) }"
    model = build("float[N] x", "float[N] y", body, low=-one, high=one)
    graph = prepare(model).graph
    assert [len(v.shape) for node in graph for v in node.inputs[1:]] == [0, 0, 0]
    assert len(graph.initializers) == 2


def test_nodes_and_tensors_without_a_name_get_one(build):
    model = build("float[N] x", "float[N] y", "{ a = Relu(x) y = Relu(a) }")
    graph = prepare(model).graph
    assert len({node.name for node in graph}) == 2
    assert all(node.name.startswith("Relu") for node in graph)


def test_the_bodies_of_functions_take_the_place_of_their_calls():
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
        net (float[N] x) => (float[N] y) { y = mine.twice(x) }
        <domain: "mine", opset_import: ["" : 17]>
        twice (a) => (b) { b = Add(a, a) }
    """)
    assert operators(prepare(model)) == ["Add"]


def test_weights_stay_in_float16_with_a_normalization_absorbed(build, rng):
    body = """{
        p = Conv(x, w)
        y = BatchNormalization(p, s, s, s, v)
    }"""
    w, s = (rng.normal(size=n).astype(np.float16) for n in ((4, 3, 3, 3), 4))
    types = "float16[N, 3, 8, 8] x", "float16[N, 4, 6, 6] y"
    prepared = prepare(build(*types, body, w=w, s=s, v=np.ones(4, np.float16)))
    assert operators(prepared) == ["Conv"]
    onnx.checker.check_model(ir.to_proto(prepared), full_check=True)
