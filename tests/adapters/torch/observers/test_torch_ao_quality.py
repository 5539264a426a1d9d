"""The squared error of our ranges beside that of torch.ao's, judged by the data."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from least_error import DATA
from torch.ao import quantization as torch_ao

from qcore.adapters.torch.observers import MSEObserver
from tests.qcore.distributions import KINDS, samples

N = 20_000
SETS: dict[str, Callable[[], np.ndarray]] = {
    **{name: lambda f=f: f(np.random.default_rng(0), N) for name, f in DATA.items()},
    **{kind: lambda kind=kind: samples(kind, N) for kind in KINDS},
}
SYMMETRIC, AFFINE = torch.per_tensor_symmetric, torch.per_tensor_affine


def error(cls: type, x: torch.Tensor, qscheme: torch.qscheme) -> float:
    observer = cls(dtype=torch.qint8, qscheme=qscheme)
    for batch in x.chunk(4):
        observer(batch)
    scale, zero_point = observer.calculate_qparams()
    found = torch.fake_quantize_per_tensor_affine(
        x, scale.item(), int(zero_point), -128, 127
    )
    return torch.mean((found - x).double() ** 2).item()


def exact(**arguments: object) -> MSEObserver:
    return MSEObserver(update_interval=4, **arguments)


@pytest.mark.parametrize("qscheme", [SYMMETRIC, AFFINE])
@pytest.mark.parametrize("name", SETS)
def test_s4_3_torch_ao_is_beaten_or_matched(name: str, qscheme: torch.qscheme) -> None:
    x = torch.from_numpy(SETS[name]())
    theirs = (torch_ao.MinMaxObserver, torch_ao.HistogramObserver)
    best = min(error(cls, x, qscheme) for cls in theirs)
    assert error(exact, x, qscheme) <= best * (1 + 1e-6)


def test_s4_3_torch_ao_is_beaten_per_channel() -> None:
    x = torch.from_numpy(np.stack([samples(kind, N)[: N // 10] for kind in KINDS]))

    def channel_errors(observer: torch_ao.ObserverBase) -> torch.Tensor:
        observer(x)
        found = torch.fake_quantize_per_channel_affine(
            x, *(part.to(x.device) for part in observer.calculate_qparams()), 0, -8, 7
        )
        return ((found - x).double() ** 2).mean(dim=1)

    codes = {"quant_min": -8, "quant_max": 7, "ch_axis": 0, "dtype": torch.qint8}
    scheme = {"qscheme": torch.per_channel_affine}
    ours = channel_errors(MSEObserver(**codes, **scheme))
    theirs = channel_errors(torch_ao.PerChannelMinMaxObserver(**codes, **scheme))
    assert (ours <= theirs).all()
