"""What single tensors get instead: --override."""

from pathlib import Path

import numpy as np

from tests.adapters.cli.grids import scales


def test_single_tensors_are_overridden(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    one, two, three = (tmp_path / f"{number}.onnx" for number in range(3))
    command = ["quantize", model, "--data", data]
    own = ("image:range=0,51", "mean.*:method=percentile", "mean.*:percentile=99")
    flags = [word for override in own for word in ("--override", override)]
    qcore(*command, *flags, "-o", one)
    qcore(*command, "-o", two)
    qcore(*command, "--method", "percentile", "--percentile", 99, "-o", three)
    found, default, percentile = map(scales, (one, two, three))
    assert found.pop("image") == np.float32(0.2)
    assert found.pop("mean.output") == percentile["mean.output"]
    assert found.pop("flatten.output") == percentile["mean.output"]
    assert found.items() <= default.items()


def test_an_override_that_fits_nothing_is_refused_before_data_is_read(
    qcore, model: Path, tmp_path: Path
) -> None:
    missing = tmp_path / "none.npz"
    own = ("--override", "imag:range=0,1", "-o", tmp_path / "out.onnx")
    code, _, err = qcore("quantize", model, "--data", missing, *own)
    assert code == 2
    assert "`overrides` must name tensors to be quantized; got 'imag'" in err
