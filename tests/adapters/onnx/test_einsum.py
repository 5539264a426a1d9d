"""An Einsum that is a product of matrices is written as MatMul."""

import numpy as np
import onnx_ir as ir
import pytest

from qcore.adapters.onnx.prepare import prepare

EXTENTS = {"b": 2, "s": 3, "t": 4, "i": 6, "o": 5, "h": 2, "d": 3, "k": 4, "q": 3}


def build_einsum(build, rng, equation, constant=1):
    """Return a model of one Einsum, what it is fed and what numpy makes of it."""
    names = equation.partition("->")[0].replace(" ", "").split(",")
    shapes = [
        [EXTENTS[a] for a in name.replace("...", "bs" if "..." in name else "")]
        for name in names
    ]
    arrays = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    feed = {f"x{n}": a for n, a in enumerate(arrays) if n != constant}
    kept = {f"x{constant}": arrays[constant]} if constant is not None else {}
    inputs = ", ".join(
        f"float[{', '.join(map(str, a.shape))}] {name}" for name, a in feed.items()
    )
    operands = ", ".join(f"x{n}" for n in range(len(arrays)))
    body = f'{{ [sum] y = Einsum<equation = "{equation}">({operands}) }}'
    wanted = np.einsum(equation.replace(" ", ""), *arrays)
    output = f"float[{', '.join(map(str, wanted.shape))}] y"
    return build(inputs, output, body, **kept), feed, wanted


@pytest.mark.parametrize(
    ("equation", "operators"),
    [
        ("bi,io->bo", ["MatMul"]),
        ("bi,oi->bo", ["MatMul"]),
        ("bi,io", ["MatMul"]),
        ("bsi , io -> bso", ["MatMul"]),
        ("bsi,i->bs", ["MatMul"]),
        ("bsi,oi->bos", ["MatMul", "Transpose"]),
        ("bis,io->bso", ["Transpose", "MatMul"]),
        ("bsi,ihd->bshd", ["MatMul", "Reshape"]),
        ("bsi,ihd->bhsd", ["MatMul", "Reshape", "Transpose"]),
        ("bshd,hdo->bso", ["Reshape", "MatMul"]),
        ("bhsd,hdo->bso", ["Transpose", "Reshape", "MatMul"]),
        ("...i,io->...o", ["MatMul"]),
        ("...i,oi", ["MatMul"]),
        ("bsi,bio->bso", ["MatMul"]),
    ],
)
def test_a_product_with_a_constant_is_a_matmul(build, run, rng, equation, operators):
    model, feed, wanted = build_einsum(build, rng, equation)
    prepared = prepare(model)
    assert [node.op_type for node in prepared.graph] == operators
    assert "sum" in [n.name for n in prepared.graph if n.op_type == "MatMul"]
    got = run(ir.to_proto(prepared), feed)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("equation", ["io,bi->bo", "oi,bsi->bso"])
def test_a_constant_may_come_first(build, run, rng, equation):
    model, feed, wanted = build_einsum(build, rng, equation, constant=0)
    prepared = prepare(model)
    assert [node.op_type for node in prepared.graph] == ["MatMul"]
    got = run(ir.to_proto(prepared), feed)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("equation", "operators"),
    [
        ("bhqd,bhkd->bhqk", ["Transpose", "MatMul"]),
        ("bqhd,bkhd->bhqk", ["Transpose", "Transpose", "MatMul"]),
        ("bhqk,bhkd->bqhd", ["MatMul", "Transpose"]),
        ("bsi,io->bso", ["MatMul"]),
    ],
)
def test_operands_that_are_computed_are_transposed(
    build, run, rng, equation, operators
):
    model, feed, wanted = build_einsum(build, rng, equation, constant=None)
    prepared = prepare(model)
    assert [node.op_type for node in prepared.graph] == operators
    got = run(ir.to_proto(prepared), feed)
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "equation",
    [
        "bi,i->bi",
        "bi,o->bio",
        "bi,io->o",
        "bsi,bihd->bshd",
        "ii,io->io",
        "bi,io,ok->bk",
    ],
)
def test_what_is_no_matmul_stays_an_einsum(build, rng, equation):
    model, _, _ = build_einsum(build, rng, equation)
    assert [node.op_type for node in prepare(model).graph] == ["Einsum"]
