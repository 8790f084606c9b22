from typing import Any

import pytest

from node.mind.deciding.grounding import is_grounded

TEXT = "Roll three dice in Tokyo on 2026-03-01 for 1,200.50 crowns; list the PDFs of Ana."


@pytest.mark.parametrize(
    ("value", "grounded"),
    [
        (3, True),
        (1200.5, True),
        (-1200.5, True),
        (4, False),
        ("Asia/Tokyo", True),
        ("*.pdf", True),
        ("Europe/Berlin", False),
        ("", True),
        (True, True),
        (None, True),
        ("1200.50 * 3 / 100", True),
        ("3 * (17 + 4.5) / 2", False),
        ("2026-03-01", True),
        (["Ana", "Tokyo"], True),
        ("did:example:ana", False),
        ("ana@tokyo.example", False),
        (["Ana", "Bert"], False),
        ({"name": "Ana", "count": 3}, True),
        ({"name": "Ana", "count": 17}, False),
    ],
)
def test_a_value_must_have_come_from_the_text(value: Any, grounded: bool) -> None:
    assert is_grounded(value, TEXT) is grounded
