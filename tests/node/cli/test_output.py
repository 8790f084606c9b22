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


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))


def test_what_is_too_wide_for_a_terminal_is_shown_in_blocks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal(monkeypatch, 80)
    did = f"did:peer:2.{'E' * 400}"
    output.table(("name", "DID", "note"), [("ada", did, None), ("bela", "did:key:z6Mk", "away")], empty="none")
    assert capsys.readouterr().out == f"NAME  ada\nDID   {did}\n\nNAME  bela\nDID   did:key:z6Mk\nNOTE  away\n"


def test_a_terminal_sees_no_empty_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    output.table(("name", "note", "n"), [("ada", "", 1)], empty="none")
    assert capsys.readouterr().out.splitlines()[0] == "NAME  NOTE  N"
    terminal(monkeypatch, len("NAME  N"))
    output.table(("name", "note", "n"), [("ada", "", 1)], empty="none")
    assert capsys.readouterr().out.splitlines() == ["NAME  N", "ada   1"]
    terminal(monkeypatch, len("NAME  N") - 1)
    output.table(("name", "note", "n"), [("ada", "", 1)], empty="none")
    assert capsys.readouterr().out.splitlines() == ["NAME  ada", "N     1"]


def test_a_failure_is_a_cause_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail(BadInput("two\nlines"), as_json=False)
    out, err = capsys.readouterr()
    assert (out, err) == ("", "pagi: two lines\n  Put --help after the command: it shows what the command takes.\n")
    output.fail(ApiProblem({"detail": "no", "hint": "try again", "code": 40999}), as_json=True)
    out, err = capsys.readouterr()
    assert '"code": 40999' in out
    assert err == "pagi: no\n  try again\n"
