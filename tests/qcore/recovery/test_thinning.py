"""Every how manieth output is looked at."""

import pytest

from qcore.recovery.thinning import spacing


def test_the_rows_of_a_matrix_lie_along_one_axis() -> None:
    assert spacing(1000, 10, 0) == 100


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("extent", [5, 17, 64])
@pytest.mark.parametrize("most", [4, 100])
def test_what_is_left_is_about_enough_and_no_sparser_than_needed(
    axes: int, extent: int, most: int
) -> None:
    every = spacing(extent**axes, most, axes)
    assert (extent / every) ** axes <= most
    assert every == 1 or (extent / (every - 1)) ** axes > most
