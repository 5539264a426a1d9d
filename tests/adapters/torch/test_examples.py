"""The examples do what they say, on real pictures."""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from qcore.adapters.torch.nn import QuantConv2d, QuantLinear

FOLDER = Path(__file__).parents[3] / "examples" / "torch"

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def on_one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small networks train faster so, and the same way wherever there are more."""
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])
    for layer in (QuantConv2d, QuantLinear):  # whose defaults an example sets
        for name in ("default_quant_desc_input", "default_quant_desc_weight"):
            monkeypatch.setattr(layer, name, getattr(layer, name))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_after_training_int8_costs_no_more_than_the_methods_say() -> None:
    found = runpy.run_path(str(FOLDER / "ptq.py"))["main"]()
    reference = found["float", ""]
    assert reference > 97
    assert min(p for (bits, _), p in found.items() if bits == "int8") > reference - 0.5
    assert found["int4", "auto"] > reference - 1.5
    assert found["int4", "mse"] > found["int4", "minmax"]


def test_s3_13_training_recovers_what_few_bits_cost() -> None:
    found = runpy.run_path(str(FOLDER / "qat.py"))["main"]()
    assert found["8 bits, trained"] >= found["float"] - 0.3
    for bits in ("4 bits", "3 bits"):
        lost = found["float"] - found[bits]
        recovered = found[f"{bits}, trained"] - found[bits]
        assert recovered >= lost / 2
