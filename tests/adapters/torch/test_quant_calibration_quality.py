"""S5.6: as good as AMCT's IFMR and HFMG, which SEMANTICS 2.11 has in words."""

from pathlib import Path

import numpy as np
import pytest
import torch

from qcore.adapters.torch.amct.quant_calibration_op import QuantCalibrationOp
from tests.adapters.torch.amct_calibration import factors, skewed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kv_cache.txt"


def error(x: torch.Tensor, scale: np.ndarray, offset: np.ndarray) -> float:
    """Return the mean squared error of q = round(x / s) + o, x = (q - o) * s."""
    x = x.double().numpy()
    codes = np.clip(np.round(x / scale) + offset, -128, 127)
    return float(np.mean(((codes - offset) * scale - x) ** 2))


def ifmr(x: torch.Tensor, asymmetric: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return AMCT's scale and offset: the upper end is searched on the data itself."""
    values = np.sort(x.double().numpy().ravel())
    rank = int(0.999999 * values.size)
    hi, lo = max(values[rank - 1], 0), min(values[values.size - rank], 0)
    found = []
    for factor in np.arange(0.7, 1.3, 0.01):
        scale = (hi * factor - lo) / 255
        if not asymmetric:
            scale = max(hi, -lo) * factor / (128 if -lo > hi else 127)
        offset = -np.round(lo / scale) - 128 if asymmetric else 0
        found.append((error(x, scale, offset), scale, offset))
    return min(found)[1:]


def hfmg(x: torch.Tensor, bins: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Return AMCT's scale and offset: the emptier tail is cut again and again."""
    x = x.double()
    lo, hi = min(x.min().item(), 0), x.max().item()
    counts, edges = np.histogram(x.numpy(), bins, (lo, hi))
    step = max(-(-x.numel() // 100_000), 1)
    left, right, found = 0, bins, []
    while right - left > bins // 4:
        dropped = np.cumsum(counts[left:right]), np.cumsum(counts[left:right][::-1])
        from_left, from_right = (int(np.searchsorted(d, step)) + 1 for d in dropped)
        if from_left > from_right:
            left += from_left
        else:
            right -= from_right
        scale = (max(edges[right], 0) - min(edges[left], 0)) / 255
        offset = np.round(-128 - min(edges[left], 0) / scale)
        found.append((error(x, scale, offset), scale, offset))
    return min(found)[1:]


@pytest.mark.parametrize("asymmetric", [True, False])
def test_s5_6_ifmr_is_as_good_as_that_of_the_reference(path: Path, asymmetric: bool):
    x = skewed(2, 50_000)
    QuantCalibrationOp(path, {"asymmetric": asymmetric})("layer", x)
    ours, reference = error(x, *factors(path, "layer")), error(x, *ifmr(x, asymmetric))
    assert ours <= 1.01 * reference
    assert (factors(path, "layer")[1] != 0) == asymmetric


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_s5_6_hfmg_is_as_good_as_that_of_the_reference(path: Path, seed: int):
    x = skewed(seed, 20_000)
    QuantCalibrationOp(path, {"act_algo": "hfmg"})("layer", x)
    assert error(x, *factors(path, "layer")) <= 1.01 * error(x, *hfmg(x))


def test_s5_6_a_symmetric_scale_is_that_of_the_reference(path: Path):
    x = torch.linspace(-1, 1, 10_001)  # uniform data are best not clipped
    QuantCalibrationOp(path, {"asymmetric": False})("layer", x)
    scale, offset = factors(path, "layer")
    assert scale == pytest.approx(ifmr(x, False)[0], rel=0.011)  # a step of the search
    assert offset == 0


def test_s5_6_the_whole_range_is_that_of_the_reference(path: Path):
    x = torch.linspace(-1, 3, 4001)
    options = {"search_range": [0.9999, 1.0], "search_step": 0.0001}
    params = {"max_percentile": 1, "min_percentile": 1, **options}
    QuantCalibrationOp(path, params)("layer", x)
    scale, offset = factors(path, "layer")
    assert scale == pytest.approx(4 / 255, rel=2e-4)
    assert offset == round(1 / (4 / 255)) - 128
