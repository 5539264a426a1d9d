import doctest
from pathlib import Path

import pytest

from qcore.adapters.records.kinds import KINDS

PAGE = Path(__file__).parents[3] / "docs" / "records.md"


def test_what_the_page_shows_is_what_happens(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 5
    assert found.failed == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_has_every_kind(kind: str) -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert any(f"`{kind}`" in row.split("|")[1] for row in rows)
