"""How ranges of batches add up to one."""

import pytest
import torch

import qcore
from qcore.adapters.torch.observers import (
    HistogramObserver,
    KLObserver,
    MinMaxObserver,
    MixObserver,
    MSEObserver,
    PercentileObserver,
)

SEARCHES = [KLObserver, MSEObserver, MixObserver, PercentileObserver]


def data(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_the_first_range_is_copied_and_the_others_move_it() -> None:
    observer = MinMaxObserver(averaging_constant=0.25)
    for low, high in ((-4.0, 8.0), (-8.0, 4.0), (-3.0, 7.0)):
        observer(torch.tensor([low, 0, high]))
    assert observer.min_val.item() == -4.5  # -4, then -5, then -5 + 0.25 * 2
    assert observer.max_val.item() == 7.0  # 8, then 7, then 7


def test_an_averaging_constant_of_zero_freezes_the_first_range() -> None:
    observer = MinMaxObserver(averaging_constant=0.0)
    observer(torch.tensor([-1.0, 2.0]))
    observer(torch.tensor([-9.0, 9.0]))
    assert (observer.min_val, observer.max_val) == (-1, 2)


def test_an_averaging_constant_of_one_keeps_the_last_range() -> None:
    observer = MinMaxObserver(averaging_constant=1.0)
    observer(torch.tensor([-9.0, 9.0]))
    observer(torch.tensor([-1.0, 2.0]))
    assert (observer.min_val, observer.max_val) == (-1, 2)


def test_the_average_depends_on_the_order() -> None:  # as documented
    first, second = MinMaxObserver(), MinMaxObserver()
    batches = [torch.tensor([1.0]), torch.tensor([5.0])]
    for x, y in zip(batches, reversed(batches), strict=True):
        first(x)
        second(y)
    assert first.max_val != second.max_val


@pytest.mark.parametrize("cls", SEARCHES)
def test_each_result_of_a_method_is_averaged(cls: type) -> None:
    observer = cls(averaging_constant=0.5)
    ranges = []
    for batch in data(3, 400):
        alone = cls()
        alone(batch)
        ranges.append(alone.max_val)
        observer(batch)
    expected = (ranges[0] + ranges[1]) / 4 + ranges[2] / 2
    torch.testing.assert_close(observer.max_val, expected)


@pytest.mark.parametrize("cls", SEARCHES)
def test_s4_2_the_method_runs_every_so_many_calls(cls: type) -> None:
    observer = cls(update_interval=3)
    sizes = []
    for batch in data(7, 50):
        observer(batch)
        sizes.append(observer.max_val.numel())
    assert sizes == [0, 0, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("cls", SEARCHES)
def test_s4_2_an_interval_of_all_calls_is_exact(cls: type) -> None:
    x = data(1000)
    whole, parts = cls(), cls(update_interval=4)
    whole(x)
    for batch in reversed(x.split([1, 499, 200, 300])):
        parts(batch)
    assert torch.equal(whole.max_val, parts.max_val)


def test_s4_2_a_new_histogram_begins_with_each_interval() -> None:
    observer = PercentileObserver(100, averaging_constant=1.0, update_interval=2)
    for value in (8.0, 1.0, 2.0, 3.0):
        observer(torch.tensor([value]))
    assert observer.max_val.item() == 3.0


@pytest.mark.parametrize("cls", SEARCHES)
def test_s4_2_qparams_before_the_first_interval_are_of_what_there_is(
    cls: type,
) -> None:
    short, exact = cls(update_interval=100), cls()
    x = data(500)
    exact(x)
    for batch in x.split(250):
        short(batch)
    assert torch.equal(short.calculate_qparams()[0], exact.calculate_qparams()[0])


def test_s4_2_asking_early_changes_nothing() -> None:
    asked, silent = (MSEObserver(update_interval=3) for _ in range(2))
    for batch in data(3, 100):
        asked(batch)
        silent(batch)
        asked.calculate_qparams()
    assert torch.equal(asked.max_val, silent.max_val)


def test_an_early_range_is_in_the_state_dict() -> None:
    observer, restored = (KLObserver(update_interval=9) for _ in range(2))
    observer(data(500))
    restored.load_state_dict(observer.state_dict())
    assert observer.max_val.numel() == 0
    assert torch.equal(restored.calculate_qparams()[0], observer.calculate_qparams()[0])


def test_another_method_is_one_attribute() -> None:
    class IFMRObserver(HistogramObserver):
        method = "ifmr"

    x = data(2000)
    observer = IFMRObserver(2048, 1)
    observer(x)
    expected = qcore.compute_range(
        qcore.Histogram.of(x.numpy()), qcore.QuantSpec(), "ifmr"
    )
    assert observer.max_val.item() == expected[1][0]
