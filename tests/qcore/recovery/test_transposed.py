"""Weights of transposed convolutions, element by element."""

from itertools import product

import numpy as np

from qcore.recovery.transposed import mirrored

WEIGHT = np.random.default_rng(3).standard_normal((6, 2, 3, 4))
GROUPS = 3


def test_inputs_and_outputs_of_a_group_change_places_and_the_kernel_is_reversed() -> (
    None
):
    found = mirrored(WEIGHT, GROUPS, xp=np)
    assert found.shape == (GROUPS * 2, 2, 3, 4)
    for g, a, b, i, j in product(*map(range, (GROUPS, 2, 2, 3, 4))):
        assert found[g * 2 + b, a, 2 - i, 3 - j] == WEIGHT[g * 2 + a, b, i, j]


def test_done_twice_nothing_has_changed() -> None:
    for groups, shape in ((1, (6, 2, 3, 4)), (2, (6, 5, 3)), (6, (6, 1, 2, 2))):
        weight = np.random.default_rng(4).standard_normal(shape)
        twice = mirrored(mirrored(weight, groups, xp=np), groups, xp=np)
        np.testing.assert_array_equal(twice, weight)
