"""Every how manieth output is looked at."""

import pytest

from qcore.recovery.thinning import spacing


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("extent", [5, 17, 64])
@pytest.mark.parametrize("most", [4, 100])
def test_what_is_left_is_about_enough_and_no_sparser_than_needed(
    axes: int, extent: int, most: int
) -> None:
    every = spacing(extent**axes, most, axes)
    assert (extent / every) ** axes <= most
    assert every == 1 or (extent / (every - 1)) ** axes > most
