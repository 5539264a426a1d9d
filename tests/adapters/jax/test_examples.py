"""The examples do what they say, on real pictures."""

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "examples" / "jax"

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def beside_the_examples(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])


def test_without_training_8_bits_cost_next_to_nothing_by_any_method():
    found = runpy.run_path(str(FOLDER / "ptq.py"))["main"]()
    reference = found["float", ""]
    assert reference > 95
    eight, four = (
        {method: percent for (width, method), percent in found.items() if width == bits}
        for bits in ("int8", "int4")
    )
    assert min(eight.values()) > reference - 1
    assert min(four.values()) > reference - 6


def test_training_recovers_most_of_what_few_bits_cost():
    found = runpy.run_path(str(FOLDER / "qat.py"))["main"]()
    assert found["float"] > 95
    for bits in ("4 bits", "3 bits"):
        lost = found["float"] - found[bits]
        assert lost > 2
        assert found[f"{bits}, trained"] - found[bits] > 2 / 3 * lost
