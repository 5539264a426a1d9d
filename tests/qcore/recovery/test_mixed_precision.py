"""Bits for each layer, against all choices there are."""

from itertools import product

import numpy as np
import pytest

from qcore.recovery import mixed_precision

RNG = np.random.default_rng(2)


def instance(layers, seed, convex=False):
    rng = np.random.default_rng(seed)
    names = [f"layer {i}" for i in range(layers)]
    sizes = {name: int(rng.integers(1, 50)) for name in names}
    errors = {}
    for name in names:
        bits = sorted(rng.choice(np.arange(2, 17), 4, replace=False).tolist())
        values = rng.random() * 4.0 ** -np.array(bits) if convex else rng.random(4)
        errors[name] = dict(zip(bits, values.tolist(), strict=True))
    return errors, sizes


def best(errors, sizes, budget):
    """Return the least error of all choices."""
    totals = [
        sum(errors[name][bits] for name, bits in zip(errors, choice, strict=True))
        for choice in product(*errors.values())
        if sum(b * sizes[n] for n, b in zip(errors, choice, strict=True)) <= budget
    ]
    return min(totals)


@pytest.mark.parametrize("convex", [True, False])
@pytest.mark.parametrize("average", [6, 8.5, 11])
@pytest.mark.parametrize("seed", range(5))
def test_no_other_choice_loses_less(seed, average, convex):
    errors, sizes = instance(6, seed, convex)
    budget = max(
        average * sum(sizes.values()), sum(min(errors[n]) * sizes[n] for n in errors)
    )
    bits = mixed_precision(errors, sizes, budget)
    assert list(bits) == list(errors)
    assert sum(bits[name] * sizes[name] for name in bits) <= budget
    found = sum(errors[name][bits[name]] for name in bits)
    assert found == pytest.approx(best(errors, sizes, budget), rel=1e-12)


def test_many_layers_are_solved_as_by_a_table_of_all_sizes():
    errors, sizes = instance(40, 9)
    budget = 8 * sum(sizes.values())
    table = np.full(budget + 1, np.inf)
    table[0] = 0
    for name, of in errors.items():
        ways = [np.full(budget + 1, np.inf) for _ in of]
        for way, (bits, error) in zip(ways, of.items(), strict=True):
            cost = bits * sizes[name]
            way[cost:] = table[: budget + 1 - cost] + error
        table = np.min(ways, axis=0)
    bits = mixed_precision(errors, sizes, budget)
    found = sum(errors[name][bits[name]] for name in bits)
    assert found == pytest.approx(table.min(), rel=1e-12)


def test_room_for_all_gives_each_layer_its_least_error():
    errors, sizes = instance(12, 3)
    bits = mixed_precision(errors, sizes, 16 * sum(sizes.values()))
    assert bits == {name: min(of, key=of.get) for name, of in errors.items()}


def test_of_equal_errors_the_smallest_is_taken():
    errors = {"a": {4: 1.0, 8: 1.0}, "b": {4: 0.5, 8: 0.5, 16: 0.5}}
    assert mixed_precision(errors, {"a": 3, "b": 5}, 1000) == {"a": 4, "b": 4}


def test_no_layers_need_no_bits():
    assert mixed_precision({}, {}, 0) == {}


@pytest.mark.parametrize(
    ("errors", "sizes", "budget", "said"),
    [
        ({"a": {4: 1.0}}, {"a": 10}, 39, "at least 40 bits, .*; got 39"),
        ({"a": {4: 1.0}}, {"b": 10}, 99, "of the same layers; 'a' is in one"),
        ({"a": {}}, {"a": 10}, 99, "must have a choice of bits for 'a'"),
        ({"a": {4: -1.0}}, {"a": 10}, 99, r"got -1.0 for 'a' \(4\)"),
        ({"a": {4: float("nan")}}, {"a": 10}, 99, "finite and not negative; got nan"),
        ({"a": {4: 1.0}}, {"a": 10}, float("nan"), "got nan"),
    ],
)
def test_what_has_no_solution_is_refused(errors, sizes, budget, said):
    with pytest.raises(ValueError, match=said):
        mixed_precision(errors, sizes, budget)
