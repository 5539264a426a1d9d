from pathlib import Path

import qcore as core


def test_statistics_are_those_of_the_data(
    qcore, model: Path, data: Path, digits, tmp_path: Path
) -> None:
    output = tmp_path / "stats.safetensors"
    code, out, err = qcore("calibrate", model, "--data", data, "-o", output)
    assert (code, err) == (0, "")
    assert out.startswith(f"{output}: 10 tensors; ")
    image = core.load(output)["image"]
    assert image.max == digits.max()
    assert image.zeros == (digits == 0).sum()


def test_bins_set_the_resolution(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "stats.safetensors"
    qcore("calibrate", model, "--data", data, "--bins", 300, "-o", output)
    assert core.load(output)["image"].bins == 300


def test_excluded_nodes_are_not_calibrated_for(
    qcore, model: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "stats.safetensors"
    exclude = ["--exclude", "stem"]
    qcore("calibrate", model, "--data", data, "-q", *exclude, "-o", output)
    assert "image" not in core.load(output)


def test_a_model_without_matrix_products_cannot_be_calibrated(
    qcore, relu: Path, data: Path, tmp_path: Path
) -> None:
    output = tmp_path / "stats.safetensors"
    code, _, err = qcore("calibrate", relu, "--data", data, "-o", output)
    assert code == 1
    assert err.endswith("has nothing to quantize.\n")
