"""Models of products inside of If, Loop and Scan, and what is read off them."""

import numpy as np

from qcore import Histogram
from tests.adapters.onnx.graphs import all_nodes, constants

LOOP = """{ [loop] h = Loop(n, , x) <body = step (int64 i, bool go, float[N, 4] s) =>
        (bool more, float[N, 4] t)
        { more = Identity(go) [inner] m = MatMul(s, v) t = Clip(m, low, high) }>
    [outer] y = MatMul(h, w) }"""


LOOPED = ("float[N, 4] x, int64 n", "float[N, 3] y")


BRANCHES = """{ [if] h = If(p) <
        then_branch = yes () => (float[N, 4] r) { [left] r = MatMul(x, v) },
        else_branch = no () => (float[N, 4] r) { n = Neg(x) [right] r = MatMul(n, v) }>
    [outer] y = MatMul(h, w) }"""


BRANCHED = ("float[N, 4] x, bool p", "float[N, 3] y")


SCAN = """{ [scan] q, h = Scan<num_scan_inputs = 2, scan_input_axes = [1, 0],
        scan_input_directions = [1, 0], scan_output_axes = [-1],
        scan_output_directions = [1],
        body = step (float[4] c, float[4] a, float[4] b) => (float[4] d, float[4] e) {
            d = Add(c, b) g = Add(a, c) [inner] e = MatMul(g, v) }>(zero, x, z)
    [outer] y = MatMul(w, h) }"""


NESTED = """{ [loop] h = Loop(n, , x) <body = step (int64 i, bool go, float[N, 4] s) =>
        (bool more, float[N, 4] t) {
            more = Identity(go)
            odd = Mod(i, two)
            p = Cast<to = 9>(odd)
            u = If(p) <
                then_branch = yes () => (float[N, 4] f) { [left] f = MatMul(s, v) },
                else_branch = no () => (float[N, 4] g) {
                    g = Loop(two, , s) <body = again (int64 j, bool on, float[N, 4] k)
                        => (bool still, float[N, 4] l)
                        { still = Identity(on) [deep] d = MatMul(k, v)
                          l = Clip(d, low, high) }> }>
            t = Clip(u, low, high) }>
    [outer] y = MatMul(h, w) }"""


def integers(rng, *shape, most=3):
    """Return small integers, of which sums are exact in any order."""
    return rng.integers(-most, most, shape, endpoint=True).astype(np.float32)


def decoded(model):
    """Return the names of the products whose weight comes out of codes."""
    nodes = list(all_nodes(model.graph))
    made = {name: node.op_type for node in nodes for name in node.output}
    products = (node for node in nodes if node.op_type in {"Conv", "Gemm", "MatMul"})
    return {n.name for n in products if made.get(n.input[1]) == "DequantizeLinear"}


def same_counts(seen, values):
    wanted = Histogram.of(values.astype(np.float32))
    return (
        np.array_equal(seen.counts, wanted.counts)
        and np.array_equal(seen.zeros, wanted.zeros)
        and np.array_equal(seen.max, wanted.max)
    )


def states(looped, runs):
    """Return what each run of the body gets, as NumPy has it."""
    v, found = constants(looped)["v"], []
    for sample in runs:
        s = sample["x"]
        for _ in range(sample["n"]):
            found.append(s)
            s = np.clip(s @ v, -9, 9)
    return np.concatenate(found)
