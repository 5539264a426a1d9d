"""The README's table is what the registry serves."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_support_table_is_up_to_date() -> None:
    table = runpy.run_path(str(ROOT / "docs" / "support_table.py"))["table"]()
    assert table in (ROOT / "README.md").read_text()
