import stat
from pathlib import Path

import pytest

from tests.node.cli.test_commands import Pagi


@pytest.fixture
def pagi(running_home: Path, capsys: pytest.CaptureFixture[str]) -> Pagi:
    return Pagi(running_home, capsys)


def test_what_the_twin_would_change(pagi: Pagi, tmp_path: Path) -> None:
    listed = pagi("learning", "list")
    assert "teams" in listed
    assert "drift" in listed
    assert pagi.json("learning", "list")["mode"] == "propose"
    shown = pagi("learning", "show", "done-1")
    assert "Found: it could be better" in shown
    assert "Figures: share 0.25" in shown
    assert "Would do: make it better" in pagi("learning", "look")
    assert pagi.json("learning", "show", "nothing", status=1)["code"] == 40478
    assert "Would have done: make it better" in pagi("learning", "decline", "proposed-2")
    assert pagi.json("learning", "approve", "proposed-1")["state"] == "done"
    assert pagi.json("learning", "decline", "proposed-1", status=1)["code"] == 40978
    assert pagi.json("learning", "undo", "proposed-1")["state"] == "undone"


def test_lessons_and_traces(pagi: Pagi, tmp_path: Path) -> None:
    learnt = pagi("learning", "improve")
    assert "+ Name the unit." in learnt
    assert "2 of 3 wrong answers are right with it; for this twin alone" in learnt
    assert "- 2 dropped: it did not help" in learnt
    assert "there is no model here" in pagi("learning", "improve", "--playbook", "barn")
    target = tmp_path / "traces.jsonl"
    assert pagi.json("learning", "export", str(target)) == {"file": str(target), "traces": 1}
    assert target.read_text() == '{"messages":[]}\n'
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert pagi.json("learning", "export", str(target), "--curated", status=1)["code"] == 40479


def test_a_rating_with_what_was_right(pagi: Pagi) -> None:
    job = pagi.json("ask", "how many litres")["job_id"]
    rated = pagi("rate", job, "bad", "--right", "450", "--because", "12 * 37.5", "--share")
    assert "Noted: bad" in rated
    assert pagi.json("rate", job, "bad", "--right", "?!", status=1)["code"] == 40087
