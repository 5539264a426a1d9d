"""The states of PPQ: item S2.15."""

import pytest

from qcore.adapters.ppq import QuantizationStates as States


@pytest.mark.parametrize(
    "name",
    [
        *("INITIAL", "ACTIVATED", "BAKED", "OVERLAPPED", "PASSIVE_INIT", "PASSIVE"),
        *("PASSIVE_BAKED", "FP32", "SOI", "DEQUANTIZED", "DEACTIVED"),
    ],
)
def test_s2_15_every_state_has_its_name(name: str) -> None:
    assert States[name]


def test_s2_15_active_are_activated_and_passive() -> None:
    assert {s for s in States if States.is_activated(s)} == {
        *(States.ACTIVATED, States.PASSIVE),
    }
