"""What is printed cannot drive the terminal, and stays on its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli import output
from node.cli.errors import ApiProblem, BadInput


@given(st.text())
def test_nothing_that_a_terminal_obeys_gets_through(text: str) -> None:
    shown = output.safe(text)
    assert not [char for char in shown if (ord(char) < 32 and char not in "\n\t") or 0x7F <= ord(char) <= 0x9F]
    assert not {"\u202e", "\u2066"} & set(shown)


@given(st.text(), st.integers(1, 100))
def test_one_line_is_one_line_within_its_width(text: str, width: int) -> None:
    line = output.one_line(text, width)
    assert len(line) <= width
    assert "\n" not in line


def test_escapes_are_spelled_out() -> None:
    assert output.safe("\x1b[31mred\x07") == "\\x1b[31mred\\x07"
    assert output.safe("two\nlines\tand a tab") == "two\nlines\tand a tab"


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("name", "n"), [("a", 1), ("longer", None)], empty="none")
    assert capsys.readouterr().out.splitlines() == ["NAME    N", "a       1", "longer"]
    output.table(("name",), [], empty="Nothing here.")
    assert capsys.readouterr().out == "Nothing here.\n"


def test_a_failure_is_a_cause_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail(BadInput("two\nlines"), as_json=False)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "pagi: two lines\n  See `pagi --help`.\n")
    output.fail(ApiProblem({"detail": "no", "hint": "try again", "code": 40999}), as_json=True)
    out, err = capsys.readouterr()
    assert '"code": 40999' in out
    assert err == "pagi: no\n  try again\n"
