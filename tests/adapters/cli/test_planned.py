from pathlib import Path

import numpy as np
import onnx


def test_what_the_samples_never_ran_is_told_once_they_did(
    qcore, tmp_path: Path
) -> None:
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        net (float[2, 2] x, bool p) => (float[2, 2] y)
        <float[2, 2] v = {0.5, -0.25, 0.75, 0.125}> { y = If(p) <
            then_branch = yes () => (float[2, 2] r) { [left] r = MatMul(x, v) },
            else_branch = no () => (float[2, 2] s) {
                n = Neg(x) [right] s = MatMul(n, v) }> }""")
    files = [tmp_path / name for name in ("model.onnx", "data.npz", "out.onnx")]
    onnx.save(model, files[0])
    np.savez(files[1], x=np.float32([[[1, 2], [3, 4]]]), p=np.array([True]))
    status, said, _ = qcore("quantize", files[0], "--data", files[1], "-o", files[2])
    assert status == 0
    assert "1 of 2 Conv, Gemm and MatMul compute in int8" in said
    assert "MatMul 'right' stays float: 'n' was not calibrated" in said
    assert "would compute in int8 (2)" in qcore("quantize", files[0], "--plan")[1]
