"""Ways to compare statistics: with another state, or with a definition written out.

Other modules here that hold no tests are imported by full name, `tests.qcore.…`.
"""

import numpy as np
import pytest


@pytest.fixture
def same(to_numpy):
    """A function that compares the arrays of two states, of whatever libraries."""

    def compare(found, expected):
        assert type(found) is type(expected)
        for name in expected.array_fields():
            pair = (to_numpy(getattr(state, name)) for state in (found, expected))
            np.testing.assert_array_equal(*pair, name, strict=True)
        for name in expected.static_fields():
            assert getattr(found, name) == getattr(expected, name)

    return compare


@pytest.fixture
def check(to_numpy):
    """A function that compares a state with the definition's rows."""

    def compare(found, *rows):
        for name in found.array_fields():
            expected = np.stack([row[name] for row in rows])
            values = to_numpy(getattr(found, name))
            np.testing.assert_array_equal(values, expected, name, strict=True)

    return compare
