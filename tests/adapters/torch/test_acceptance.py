"""Every item of SEMANTICS S1 and S3 has a test that is called after it."""

import re
from pathlib import Path


def test_every_item_has_a_test() -> None:
    found = {
        (int(section), int(item))
        for file in Path(__file__).parent.glob("test_acceptance_s*.py")
        for section, item in re.findall(
            r"^def test_s(\d)_(\d\d)_", file.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    items = {1: 20, 3: 92}
    assert found == {(s, i) for s, count in items.items() for i in range(1, count + 1)}
